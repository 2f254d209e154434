# The toolbox (/opt/aienv) for machines without apt-get. Build from the repository's root:
#   docker build -f images/toolbox/Dockerfile -t aienv/toolbox .
# bookworm-slim
ARG BASE=debian@sha256:40b107342c492725bc7aacbe93a49945445191ae364184a6d24fedb28172f6f7
FROM ${BASE}
LABEL dev.aienv.managed=1
LABEL dev.aienv.image=toolbox
# Python runs the recipe; the package lists stay, because the recipe downloads by them.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends python3
COPY orchestrator /src/orchestrator
RUN cd /src && python3 -m orchestrator.images.toolbox /opt/aienv
# Never started: aienv copies /opt/aienv out of it and removes it.
CMD ["/opt/aienv/bin/python3"]
