"""Other images than the allowed ones: by name, id, digest, by making an allowed name mean another image, by asking the daemon to fetch."""



from collections.abc import Iterator

from tests.integration.guard.attacks.row import CREATE, PLAIN, Row, V, calls, http


def images() -> Iterator[Row]:
    names = {
        "name": "@FIMAGE@",
        "id": "@FIMAGEID@",
        "hex": "@FIMAGEHEX@",
        "short": "@FIMAGESHORT@",
        "digest": "@FIMAGE@@@FIMAGEID@",
        "library": "docker.io/@FIMAGE@",
        "prefix": "@IMAGE@-evil",
        "registry": "localhost:5000/@IMAGE@",
        "upper": "LEDGER/image:1",
        "none": "",
        "blank": " @FIMAGE@",
        "slash": "/@FIMAGE@",
    }
    for name, image in names.items():
        yield Row(f"image-{name}", "images", http("POST", CREATE, {"Image": image, "Cmd": ["true"], "HostConfig": {}}), wins="container")
    yield from calls(
        "images",
        {
            "tag-onto-allowed": ("POST", f"{V}/images/@FIMAGE@/tag?repo=@IMAGENAME@&tag=latest"),
            "tag-onto-foreign": ("POST", f"{V}/images/@IMAGE@/tag?repo=@FIMAGENAME@&tag=1"),
            "tag-foreign": ("POST", f"{V}/images/@FIMAGEID@/tag?repo=mine&tag=1"),
            "tag-two-repos": ("POST", f"{V}/images/@FIMAGE@/tag?repo=mine&repo=@IMAGENAME@&tag=latest"),
            "tag-form": ("POST", f"{V}/images/@IMAGE@/tag?repo=mine&tag=1", "repo=@FIMAGENAME@&tag=1"),
            "commit-foreign": ("POST", f"{V}/commit?container=@FOREIGN@&repo=mine", {}),
            "commit-foreign-name": ("POST", f"{V}/commit?container=@FOREIGNNAME@&repo=mine", {}),
            "commit-onto-allowed": ("POST", f"{V}/commit?container=@OWN@&repo=@IMAGENAME@&tag=latest", {}),
            "commit-onto-foreign": ("POST", f"{V}/commit?container=@OWN@&repo=@FIMAGENAME@&tag=1", {}),
            "import": ("POST", f"{V}/images/create?fromSrc=-&repo=@IMAGENAME@&tag=latest", b"\0" * 1024),
            "import-url": ("POST", f"{V}/images/create?fromSrc=http://10.0.0.1/x.tar&repo=mine"),
            "pull-other": ("POST", f"{V}/images/create?fromImage=other&tag=1"),
            "pull-twice": ("POST", f"{V}/images/create?fromImage=@IMAGENAME@&fromImage=other&tag=latest"),
            "pull-host-port": ("POST", f"{V}/images/create?fromImage=10.0.0.1:2375/x&tag=1"),
            "pull-digest": ("POST", f"{V}/images/create?fromImage=@IMAGENAME@&tag=sha256:" + "0" * 64),
            "pull-form": ("POST", f"{V}/images/create?fromImage=@IMAGENAME@&tag=latest", "fromImage=other&tag=1", "X-Registry-Auth: e30="),
            "push": ("POST", f"{V}/images/@IMAGE@/push", None, "X-Registry-Auth: e30="),
            "push-foreign": ("POST", f"{V}/images/@FIMAGE@/push", None, "X-Registry-Auth: e30="),
            "distribution": ("GET", f"{V}/distribution/10.0.0.1:80/x/json"),
            "auth": ("POST", f"{V}/auth", {"username": "a", "password": "b", "serveraddress": "http://10.0.0.1"}),
            "save-foreign": ("GET", f"{V}/images/@FIMAGE@/get"),
            "save-foreign-names": ("GET", f"{V}/images/get?names=@FIMAGE@"),
            "save-both": ("GET", f"{V}/images/get?names=@IMAGE@&names=@FIMAGE@"),
            "save-id": ("GET", f"{V}/images/get?names=@FIMAGEID@"),
            "save-none": ("GET", f"{V}/images/get"),
            "inspect-foreign-image": ("GET", f"{V}/images/@FIMAGE@/json"),
            "history-foreign": ("GET", f"{V}/images/@FIMAGEID@/history"),
            "remove-foreign-image": ("DELETE", f"{V}/images/@FIMAGE@?force=1"),
            "remove-allowed-image": ("DELETE", f"{V}/images/@IMAGE@?force=1"),
            "search": ("GET", f"{V}/images/search?term=x"),
            "plugin-privileges": ("GET", f"{V}/plugins/privileges?remote=10.0.0.1/x"),
        },
    )
    yield Row("pull-all-tags", "images", http("POST", f"{V}/images/create?fromImage=@IMAGENAME@"), tamed=True)
    yield Row(
        "load-not-an-archive", "images", http("POST", f"{V}/images/load", b"\0" * 10240, kind="application/x-tar"), tamed=True, core=False
    )
    yield Row(
        "tag-form-type",
        "images",
        http("POST", f"{V}/images/@IMAGE@/tag?repo=mine&tag=1", "repo=@FIMAGENAME@&tag=1", kind="application/x-www-form-urlencoded"),
    )
    yield Row(
        "pull-form-type",
        "images",
        http("POST", f"{V}/images/create?fromImage=@IMAGENAME@&tag=latest", "fromImage=other", kind="application/x-www-form-urlencoded"),
    )
    yield Row(
        "prune-form-type",
        "images",
        http("POST", f"{V}/images/prune", 'filters={"dangling":["0"]}', kind="application/x-www-form-urlencoded"),
    )
    yield from calls(
        "images",
        {
            "ok-image-inspect": ("GET", f"{V}/images/@IMAGE@/json"),
            "ok-image-history": ("GET", f"{V}/images/@IMAGE@/history"),
            "ok-image-id": ("GET", f"{V}/images/@IMAGEID@/json"),
            "ok-images": ("GET", f"{V}/images/json"),
            "ok-tag": ("POST", f"{V}/images/@IMAGE@/tag?repo=ok-tagged&tag=1"),
            "ok-commit": ("POST", f"{V}/commit?container=@OWN@&repo=ok-committed&tag=1", {}),
        },
        attack=False,
    )
    yield Row("ok-create", "images", http("POST", CREATE, {**PLAIN, "HostConfig": {}}), attack=False)
    yield Row("ok-create-by-id", "images", http("POST", CREATE, {**PLAIN, "Image": "@IMAGEID@", "HostConfig": {}}), attack=False)
