# The server with Cloud Code's SDK and Parse Dashboard, on a database that is elsewhere:
#   docker build --tag parsimony .
#   docker run --init --publish 1337:1337 --env PARSE_SERVER_APPLICATION_ID=myApp … parsimony       (docs/deploy.md)
ARG RUST_IMAGE=rust:1-bookworm
ARG NODE_IMAGE=node:22-bookworm-slim

FROM ${NODE_IMAGE} AS modules
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund

FROM ${RUST_IMAGE} AS build
# Which npm packages are needed, and the list of licences, are found with Node.js.
COPY --from=modules /usr/local/bin/node /usr/local/bin/node
WORKDIR /src
COPY . .
COPY --from=modules /src/node_modules ./node_modules
ARG SOURCE_DATE_EPOCH=0
# The caches stay on the builder: a change of the source compiles no dependency again.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --all-features --bin parsimony \
    && install -D target/release/parsimony /out/parsimony \
    && node scripts/runtime-modules.mjs /out/node_modules \
    && node scripts/bill.mjs /out/doc \
    && cp LICENSE /out/doc/

FROM ${NODE_IMAGE}
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates libssl3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home --home-dir /data --shell /usr/sbin/nologin parsimony \
    && install -d -o parsimony -g parsimony /app
COPY --from=build /out/parsimony /usr/local/bin/parsimony
COPY --from=build /out/doc /usr/local/share/doc/parsimony
COPY --from=build /out/node_modules /usr/local/lib/parsimony/node_modules
LABEL org.opencontainers.image.title="Parsimony" \
      org.opencontainers.image.description="A backend that speaks the protocol of Parse Server" \
      org.opencontainers.image.licenses="Apache-2.0"
# By number, so that a host can tell that it is not root.
USER 10001:10001
WORKDIR /app
ENV PARSE_SERVER_HOST=0.0.0.0 PARSIMONY_DATA_DIR=/data NODE_ENV=production
EXPOSE 1337
# As slow to give up as a server that waits for its database.
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s \
    CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT || 1337}${process.env.PARSE_SERVER_MOUNT_PATH || '/parse'}/health`).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["parsimony"]
