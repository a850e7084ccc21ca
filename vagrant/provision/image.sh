#!/usr/bin/env bash
# Makes viprule's image of the static program and gives it to containerd, so that no registry is
# needed: a program is one file in one layer. With --archive FILE it only writes the image. The
# program is /viprule/dist/viprule unless PROGRAM (environment) says otherwise.
set -euo pipefail

program=${PROGRAM:-/viprule/dist/viprule}
[ -x "$program" ] || {
    echo "image.sh: no program $program; scripts/build-static dist/viprule builds it" >&2
    exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
archive=$work/image.tar
[ "${1:-}" != --archive ] || archive=$2

# The same program makes the same image, byte for byte.
same=(--owner=0 --group=0 --numeric-owner --mtime=@0 --sort=name --format=ustar)
mkdir "$work/root" "$work/image"
install -m 0755 "$program" "$work/root/viprule"
tar -C "$work/root" "${same[@]}" -cf "$work/image/layer.tar" viprule
layer=$(sha256sum "$work/image/layer.tar" | cut -d ' ' -f 1)
cat >"$work/image/config.json" <<END
{"architecture":"$(dpkg --print-architecture)","os":"linux","config":{"Entrypoint":["/viprule"]},"rootfs":{"type":"layers","diff_ids":["sha256:$layer"]}}
END
cat >"$work/image/manifest.json" <<'END'
[{"Config":"config.json","RepoTags":["localhost/viprule:0.1.0"],"Layers":["layer.tar"]}]
END
tar -C "$work/image" "${same[@]}" -cf "$archive" manifest.json config.json layer.tar

[ "${1:-}" = --archive ] || ctr --namespace k8s.io images import "$archive"
