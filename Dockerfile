# syntax=docker/dockerfile:1
# Two images from one build:
#   servers     the three programs and the C library: no shell, no root. `docker build --target servers .`
#   operations  the same beside PostgreSQL's client programs, for backups and restores.
# Every step of the build is a plain cargo command that can be tried by hand.

ARG POSTGRES_IMAGE=postgres:15-bookworm

# The version of rust-toolchain.toml, which stays outside: rustup would fetch the tools of developers for it. The image
# has the C compiler that aws-lc and mimalloc need.
FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /fechatter
# Queries are checked against .sqlx/: no build needs a database.
ENV SQLX_OFFLINE=true
COPY . .
# The caches keep what was downloaded and compiled between builds, so that only what changed is compiled again; the
# image gets the programs alone.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/fechatter/target,sharing=locked \
    cargo build --locked --profile dist -p fechatter -p fechatter_server -p notify_server \
    && mkdir /programs \
    && cp target/dist/fechatter target/dist/fechatter_server target/dist/notify_server /programs/

FROM ${POSTGRES_IMAGE} AS operations
COPY --from=build /programs/ /usr/local/bin/
USER 10001:10001
WORKDIR /backups
ENTRYPOINT ["fechatter"]
CMD ["--help"]

FROM gcr.io/distroless/cc-debian12:nonroot AS servers
COPY --from=build /programs/ /usr/local/bin/
# A number, so that orchestrators can see that it is not root.
USER 10001:10001
WORKDIR /var/empty
# 6688 and 6687 are for clients; 6689 and 6686 for operators, and not to be published.
EXPOSE 6687 6688
ENTRYPOINT ["fechatter"]
CMD ["--help"]
