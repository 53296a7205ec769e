# Meshgate as a container: the locked dependencies and the project in one virtual environment, run by a user who may
# write to var/ only. It holds every extra, and git for `policy.git`. Give it a configuration and provider keys at run time; the image holds no secret.
#
#   docker build -t meshgate . && docker run -p 8080:8080 -v meshgate:/app/var meshgate

FROM python:3.13-slim AS build
WORKDIR /src
COPY requirements-extras.lock ./
RUN python -m venv /opt/meshgate \
    && /opt/meshgate/bin/python -m pip install --no-cache-dir --require-hashes --requirement requirements-extras.lock
COPY pyproject.toml README.md LICENSE ./
COPY gateway ./gateway
RUN /opt/meshgate/bin/python -m pip install --no-cache-dir --no-deps --no-build-isolation .
# Patterns are compiled here once: at run time nothing beside the bytecode may be written.
RUN /opt/meshgate/bin/python -m gateway.serving.prepare

FROM python:3.13-slim
ENV PATH=/opt/meshgate/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git openssh-client \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --home-dir /app --shell /usr/sbin/nologin meshgate \
    && install --directory --owner meshgate /app/var
WORKDIR /app
COPY --from=build /opt/meshgate /opt/meshgate
COPY config ./config
COPY policies ./policies
USER meshgate
VOLUME /app/var
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=120s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/livez', timeout=2)"]
ENTRYPOINT ["meshgate"]
CMD ["serve", "--config", "config/gateway.yaml", "--host", "0.0.0.0", "--port", "8080"]
