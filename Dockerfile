# The one image of head, workers and submitters: Ray's own with this package, its locked dependencies and the jobs.
#
#   docker build --tag REGISTRY/cifar-ray:0.1.0-ray2.60.0 .
#   docker build --tag REGISTRY/cifar-ray:0.1.0-ray2.60.0-cpu --build-arg VARIANT=cpu .
#
# The same bytes below it each time: --build-arg RAY_DIGEST=@sha256:..., of `docker buildx imagetools inspect rayproject/ray:TAG`.

ARG RAY_VERSION=2.60.0
ARG PYTHON=py311
ARG VARIANT=gpu
ARG RAY_DIGEST=

FROM rayproject/ray:${RAY_VERSION}-${PYTHON}-${VARIANT}${RAY_DIGEST} AS ray
USER 1000:100
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1

FROM ray AS build
COPY --chown=1000:100 pyproject.toml constraints.txt README.md LICENSE /home/ray/build/
# what the code needs, without the code: a change of the code leaves the layer of the dependencies as it is
RUN python -c 'import tomllib; print(*tomllib.load(open("/home/ray/build/pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
      > /home/ray/build/requirements.txt \
    && pip install --constraint /home/ray/build/constraints.txt hatchling
COPY --chown=1000:100 src /home/ray/build/src
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /home/ray/build/wheels /home/ray/build

FROM ray
# torch: PyPI's build is the CUDA one; its own index has one for CPUs, which is a tenth of the size
ARG VARIANT
RUN --mount=type=bind,from=build,source=/home/ray/build/requirements.txt,target=/tmp/build/requirements.txt \
    --mount=type=bind,from=build,source=/home/ray/build/constraints.txt,target=/tmp/build/constraints.txt \
    if [ "$VARIANT" = cpu ]; then export PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu; fi \
    && pip install --constraint /tmp/build/constraints.txt --requirement /tmp/build/requirements.txt
RUN --mount=type=bind,from=build,source=/home/ray/build/wheels,target=/tmp/build/wheels \
    pip install --no-deps /tmp/build/wheels/*.whl
COPY --chown=1000:100 jobs /home/ray/cifar-ray/jobs
WORKDIR /home/ray/cifar-ray
# Ray's nodes must be of one version: the constraints' is that of the image's tag
ARG RAY_VERSION
RUN test "$(python -c 'import ray; print(ray.__version__)')" = "$RAY_VERSION" \
    && cifar-ray --version

# the commit that sweeps record
ARG REVISION=
ENV CIFAR_RAY_COMMIT=${REVISION}
LABEL org.opencontainers.image.title="cifar-ray" \
      org.opencontainers.image.description="ASHA sweeps of CNNs on CIFAR-10 on a Ray cluster" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.base.name="docker.io/rayproject/ray:${RAY_VERSION}"
