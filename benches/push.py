"""Pushes an image of files: push.py REGISTRY REPOSITORY MEDIA-TYPE BLOB=TAR…, TAR being what BLOB inflates to."""
import hashlib, json, os, sys, urllib.request

registry, repository, media_type, *layers = sys.argv[1:]
base = f"http://{registry}/v2/{repository}"
part = 32 << 20

def call(method, url, data=None, **headers):
    return urllib.request.urlopen(urllib.request.Request(url, data=data, method=method, headers=headers))

def digest(path):
    with open(path, "rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()

def push(chunks, name, size):
    found = urllib.request.Request(f"{base}/blobs/{name}", method="HEAD")
    try:
        urllib.request.urlopen(found)
    except urllib.error.HTTPError:
        location, sent = call("POST", f"{base}/blobs/uploads/").headers["Location"], 0
        for chunk in chunks:
            kind = {"Content-Type": "application/octet-stream", "Content-Range": f"{sent}-{sent + len(chunk) - 1}"}
            location, sent = call("PATCH", location, chunk, **kind).headers["Location"], sent + len(chunk)
        call("PUT", location + ("&" if "?" in location else "?") + "digest=" + name, b"")
    return {"digest": name, "size": size}

def push_file(path):
    with open(path, "rb") as file:
        return push(iter(lambda: file.read(part), b""), digest(path), os.path.getsize(path)) | {"mediaType": media_type}

pairs = [layer.split("=") for layer in layers]
config = json.dumps({"architecture": "amd64", "os": "linux",
                     "rootfs": {"type": "layers", "diff_ids": [digest(tar) for _, tar in pairs]}}).encode()
config = push([config], "sha256:" + hashlib.sha256(config).hexdigest(), len(config))
kind = "application/vnd.oci.image.manifest.v1+json"
manifest = {"schemaVersion": 2, "mediaType": kind,
            "config": config | {"mediaType": "application/vnd.oci.image.config.v1+json"},
            "layers": [push_file(blob) for blob, _ in pairs]}
call("PUT", f"{base}/manifests/latest", json.dumps(manifest).encode(), **{"Content-Type": kind})
