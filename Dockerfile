# The image of Sidegate: the built program, its production modules, and Node; no shell, no package manager.
#
#   docker build --platform linux/amd64,linux/arm64 -t registry.example.com/yours/sidegate:0.2.0 .
#   docker run --read-only -p 17080:17080 -v "$PWD:/etc/sidegate:ro" registry.example.com/yours/sidegate:0.2.0
#
# It runs as uid 65532, writes nothing to its root, and is PID 1 itself: `run` sets its signal handlers before anything else.
# There is no HEALTHCHECK: Kubernetes ignores it, and compose names its own.
# deploy/image/build.sh builds and tries it without a registry of images.

# Pin them further by digest (image:tag@sha256:...) where a build must be repeatable to the byte.
ARG BUILD_BASE=docker.io/library/node:26-trixie-slim
ARG RUN_BASE=gcr.io/distroless/nodejs26-debian13:nonroot

FROM ${BUILD_BASE} AS build
WORKDIR /build
COPY package.json package-lock.json ./
# No scripts: they bring a Node for the tests, and would build before the sources are here.
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
COPY page ./page
COPY deploy/bundle.ts ./deploy/
RUN npm run build

FROM ${BUILD_BASE} AS modules
WORKDIR /app
COPY package.json package-lock.json deploy/image/prune.mjs ./
# No dependency has native code, so the modules of one platform serve all.
RUN npm ci --omit=dev --omit=optional --omit=peer --ignore-scripts --no-audit --no-fund && node prune.mjs && rm prune.mjs package-lock.json

FROM ${RUN_BASE}
ARG VERSION=0.2.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG RUN_BASE
LABEL org.opencontainers.image.title="Sidegate" \
      org.opencontainers.image.description="Reverse-proxy sidecar that enforces connection hygiene in front of legacy services" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/sidegate/sidegate" \
      org.opencontainers.image.documentation="https://github.com/sidegate/sidegate/tree/main/docs" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.base.name="${RUN_BASE}"
# Left alone, V8 takes 260 MiB of heap for itself in a container of 128 MiB. Half is for it, because buffers are outside
# of the heap. Without SIGUSR1 nobody who can send a signal opens the inspector. With the other two (src/cli/flags.ts) `run` need not
# replace its process to have them: 30 ms of CPU, which take ten times as long under a limit of 100m. One arena of malloc for all threads
# (same file) is 20 MB less where a thousand streams of HTTP/2 are open.
ENV NODE_ENV=production \
    MALLOC_ARENA_MAX=1 \
    PATH=/usr/local/bin:/usr/bin:/bin:/nodejs/bin \
    NODE_OPTIONS="--max-old-space-size-percentage=50 --disable-sigusr1 --max-semi-space-size=4 --expose-gc"
WORKDIR /app
COPY --from=modules /app /app
COPY --from=build /build/dist /app/dist
COPY --chmod=755 deploy/image/sidegate /usr/local/bin/sidegate
# A number, so that `runAsNonRoot` can be checked.
USER 65532:65532
EXPOSE 17080 17021
ENTRYPOINT ["/nodejs/bin/node", "/app/dist/cli.js"]
CMD ["run", "-c", "/etc/sidegate/sidegate.yaml"]
