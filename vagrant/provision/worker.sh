#!/usr/bin/env bash
# Joins a worker. With --configuration it only prints kubeadm's configuration. Environment: NODES
# ("NAME=ADDRESS …", the control plane first), NODE, TOKEN.
set -euo pipefail
: "${NODES:?}" "${NODE:?}" "${TOKEN:?}"

read -ra nodes <<<"$NODES"
for node in "${nodes[@]}"; do
    [ "${node%%=*}" != "$NODE" ] || address=${node#*=}
done

# The certificate's hash is known only once the control plane is there; the token and the private
# network are trusted instead.
configuration() {
    cat <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: JoinConfiguration
discovery:
  bootstrapToken:
    apiServerEndpoint: ${nodes[0]#*=}:6443
    token: $TOKEN
    unsafeSkipCAVerification: true
timeouts:
  # Both may start at the same time.
  discovery: 15m0s
nodeRegistration:
  name: $NODE
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
  - name: node-ip
    value: $address
END
}
if [ "${1:-}" = --configuration ]; then
    configuration
    exit
fi

if [ ! -e /etc/kubernetes/kubelet.conf ]; then
    install -m 0600 /dev/null /etc/kubernetes/join.yaml
    configuration >/etc/kubernetes/join.yaml
    kubeadm join --config /etc/kubernetes/join.yaml
fi
