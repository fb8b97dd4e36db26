# syntax=docker/dockerfile:1

# Build:  docker build --build-arg VERSION="$(git describe --tags --always)" -t marquee .
# Run:    docker run --read-only -e MARQUEE_DATABASE_URL=… -e MARQUEE_SECRET_KEY=… -e MARQUEE_KEYSET=… -p 8080:8080 marquee

FROM --platform=$BUILDPLATFORM golang:1.26.8-bookworm AS build
WORKDIR /src

# Modules first: they change less often than code.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY . .
ARG VERSION=""
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w${VERSION:+ -X main.version=$VERSION}" -o /out/marquee .

# The final image has the binary and the certificates it trusts: no shell, no package manager.
# Time zones are inside the binary.
FROM scratch
ARG VERSION=""
LABEL org.opencontainers.image.title="Marquee" \
      org.opencontainers.image.description="The backend of a movie-ticket box office: a GraphQL API in one binary" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/marquee /usr/local/bin/marquee

# A number, so that an orchestrator can see that it is not root without reading /etc/passwd. The
# root file system may be read-only: all state is in the database, but for the journal of
# a sandbox gateway.
USER 65532:65532
ENV MARQUEE_ENV=production \
    MARQUEE_LISTEN=:8080 \
    MARQUEE_OPS_LISTEN=127.0.0.1:9090
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["/usr/local/bin/marquee", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/marquee"]
CMD ["serve"]
