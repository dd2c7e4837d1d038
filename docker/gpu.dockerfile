# osnet-encode on an NVIDIA GPU; the host needs a driver and the NVIDIA container toolkit.
#
#     docker build -f docker/gpu.dockerfile -t osnet-encode:gpu .
#     docker run --rm --gpus all -u "$(id -u):$(id -g)" -v "$PWD:/data" osnet-encode:gpu \
#         people.csv features.parquet --weights market.pth
#
# Not built in CI, which has no Docker engine: try it before you depend on it.
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /opt/osnet-encoder

# On Linux pip's own choice of torch is a build with CUDA, libraries and all; the image needs none beside.
COPY requirements.txt requirements-dev.txt ./
RUN pip install -r requirements.txt "$(grep '^huggingface_hub==' requirements-dev.txt)"

COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY osnet_encoder osnet_encoder
COPY cli cli
COPY training training
RUN pip install --no-deps .

# Published weights are kept here. Anybody may write, so that -u works; mount a volume to keep them for longer.
ENV HF_HOME=/cache
RUN useradd osnet && mkdir -m 1777 /cache

# Started without --gpus, it says so and stops, where `auto` would take the processors.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility OSNET_DEVICE=cuda

USER osnet
WORKDIR /data
ENTRYPOINT ["osnet-encode"]
