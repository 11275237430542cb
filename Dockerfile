# The image for people with Docker. `cargo image` makes the same files without it; image/ says which they are.
# Its layers tell when it was built, unless BuildKit 0.13 or newer is told otherwise:
# docker buildx build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" --output type=docker,rewrite-timestamp=true .
FROM rust:1.95.0-bookworm AS builder
ARG SOURCE_DATE_EPOCH=0
WORKDIR /workspace
COPY . .
RUN cargo image --directory /image

FROM scratch
COPY --from=builder /image /
USER 65532:65532
WORKDIR /
ENTRYPOINT ["/usr/bin/wandb-auth-operator"]
LABEL org.opencontainers.image.title="wandb-auth-operator"
LABEL org.opencontainers.image.description="Proves, publishes and keeps the authentication settings of Weights & Biases Server on Kubernetes"
LABEL org.opencontainers.image.version="0.1.0"
LABEL org.opencontainers.image.licenses="Apache-2.0"
