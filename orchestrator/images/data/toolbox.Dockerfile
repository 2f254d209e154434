# The toolbox (/opt/aienv) for machines without apt-get. Build from the repository's root:
#   docker build -f images/toolbox/Dockerfile -t aienv/toolbox .
ARG BASE=debian@sha256:40b107342c492725bc7aacbe93a49945445191ae364184a6d24fedb28172f6f7
# bookworm-slim
FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 \
 && rm -rf /opt/aienv
COPY orchestrator /src/orchestrator
RUN cd /src && python3 -m orchestrator.images.toolbox /opt/aienv

FROM scratch
LABEL dev.aienv.managed=1 dev.aienv.image=toolbox
COPY --from=build /opt/aienv /opt/aienv
# Never started; an engine wants a command before it makes the container whose files are exported.
CMD ["/opt/aienv/bin/python3"]
