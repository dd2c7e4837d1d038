# osnet-encode on processors.
#
#     docker build -f docker/cpu.dockerfile -t osnet-encode:cpu .
#     docker run --rm -u "$(id -u):$(id -g)" -v "$PWD:/data" osnet-encode:cpu \
#         people.csv features.parquet --weights market.pth
#
# Not built in CI, which has no Docker engine: try it before you depend on it.
FROM python:3.11-slim

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1
WORKDIR /opt/osnet-encoder

# torch from its builds for CPUs, alone and first: those found elsewhere bring gigabytes of CUDA along.
COPY requirements.txt requirements-dev.txt ./
RUN pip install "$(grep '^torch==' requirements.txt)" --index-url https://download.pytorch.org/whl/cpu \
 && pip install -r requirements.txt "$(grep '^huggingface_hub==' requirements-dev.txt)"

COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY osnet_encoder osnet_encoder
COPY cli cli
COPY training training
RUN pip install --no-deps .

# Published weights are kept here. Anybody may write, so that -u works; mount a volume to keep them for longer.
ENV HF_HOME=/cache
RUN useradd osnet && mkdir -m 1777 /cache

USER osnet
WORKDIR /data
ENTRYPOINT ["osnet-encode"]
