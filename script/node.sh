# shellcheck shell=bash
# Sourced by the scripts that use Node.js, from the root of the repository.

# need_node WHAT… fails with a sentence unless Node.js and npm are there; WHAT… names what needs them.
need_node() {
  if ! command -v npm >/dev/null || ! node -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)'; then
    echo "$* with Node.js 20.19 or later and its npm: install them from https://nodejs.org." >&2
    exit 1
  fi
}

# install_modules FOLDER installs what FOLDER/package-lock.json names. npm ci leaves a copy of the lock file that it
# installed; an equal copy means that there is nothing to do.
install_modules() {
  local installed=$1/node_modules/.marquee-lock.json
  if ! cmp -s "$1/package-lock.json" "$installed"; then
    npm --prefix "$1" ci --no-audit --no-fund --loglevel=error
    cp "$1/package-lock.json" "$installed"
  fi
}
