#!/usr/bin/env bash
# Installs containerd from the distribution, and kubelet, kubeadm and kubectl from the repository at
# PACKAGES (environment), whose key is beside it as Release.key.
set -euo pipefail
: "${PACKAGES:?}"
export DEBIAN_FRONTEND=noninteractive

if ! command -v kubeadm >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends ca-certificates containerd curl gpg iptables jq >/dev/null
    install -d -m 0755 /etc/apt/keyrings
    key=/etc/apt/keyrings/kubernetes.gpg
    curl --fail --silent --show-error --location "${PACKAGES%/}/Release.key" | gpg --batch --yes --dearmor --output "$key"
    echo "deb [signed-by=$key] ${PACKAGES%/}/ /" >/etc/apt/sources.list.d/kubernetes.list
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends kubeadm kubectl kubelet >/dev/null
    apt-mark hold kubeadm kubectl kubelet >/dev/null
fi

# The kubelet's cgroup driver is systemd; Debian's programs for pod networks are in another folder
# than those of the package kubernetes-cni.
containerd config default |
    sed -E 's/(SystemdCgroup = ).*/\1true/; s|(bin_dir = ).*|\1"/opt/cni/bin"|' >/etc/containerd/config.new
if ! cmp -s /etc/containerd/config.new /etc/containerd/config.toml; then
    mv /etc/containerd/config.new /etc/containerd/config.toml
    systemctl restart containerd
fi
rm -f /etc/containerd/config.new
systemctl enable --quiet --now containerd kubelet
