# The image of a task that names none. Build: docker build -t aienv/base images/base
# bookworm-slim
ARG BASE=debian@sha256:40b107342c492725bc7aacbe93a49945445191ae364184a6d24fedb28172f6f7
FROM ${BASE}

COPY packages.txt /tmp/packages.txt
RUN apt-get update \
 && sed -e '/^#/d' -e '/^$/d' /tmp/packages.txt | DEBIAN_FRONTEND=noninteractive xargs apt-get install -y --no-install-recommends \
 && rm -rf /var/lib/apt/lists/* /tmp/packages.txt
# The container's user is the caller's own id whatever stands here; the name and the home serve docker run and other tools.
RUN useradd --create-home --uid 1000 --shell /bin/bash agent

# From here on every line is also applied when the image is made without a registry.
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
ENV LANG=C.UTF-8
LABEL dev.aienv.managed=1
LABEL dev.aienv.image=base
USER agent
WORKDIR /home/agent
CMD ["bash"]
