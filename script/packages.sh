# shellcheck shell=bash
# Sourced by the other scripts: installs Debian packages, where that needs no answer from anybody.
# Prints to standard error only.

say() {
  printf '%s\n' "$*" >&2
}

may_install() {
  command -v apt-get >/dev/null && { [[ $(id -u) -eq 0 ]] || sudo -n true 2>/dev/null; }
}

# install_packages NAME… is for callers that asked may_install.
install_packages() {
  local as_root=()
  [[ $(id -u) -eq 0 ]] || as_root=(sudo -n)
  say "Installing Debian's $* …"
  "${as_root[@]}" apt-get update -qq -o Acquire::Retries=3 >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends -o Acquire::Retries=3 -o Dpkg::Use-Pty=0 "$@" >&2
}
