#!/usr/bin/env bash
# The control plane, without kube-proxy. With --configuration it only prints kubeadm's configuration.
# Environment: NODES ("NAME=ADDRESS …"), NODE, TOKEN (of kubeadm's form, for the workers to join).
set -euo pipefail
: "${NODES:?}" "${NODE:?}" "${TOKEN:?}"

for node in $NODES; do
    [ "${node%%=*}" != "$NODE" ] || address=${node#*=}
done

# No podSubnet: provision/network.sh says which node has which, so nobody else must.
configuration() {
    cat <<END
apiVersion: kubeadm.k8s.io/v1beta4
kind: InitConfiguration
bootstrapTokens:
- token: $TOKEN
  ttl: 0s
localAPIEndpoint:
  advertiseAddress: $address
nodeRegistration:
  name: $NODE
  criSocket: unix:///run/containerd/containerd.sock
  kubeletExtraArgs:
  - name: node-ip
    value: $address
---
apiVersion: kubeadm.k8s.io/v1beta4
kind: ClusterConfiguration
kubernetesVersion: v1.36.3
controlPlaneEndpoint: $address:6443
networking:
  serviceSubnet: 10.96.0.0/12
---
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
cgroupDriver: systemd
END
}
if [ "${1:-}" = --configuration ]; then
    configuration
    exit
fi

# Its last file; a start that failed before is done anew.
if [ ! -e /etc/kubernetes/initialized ]; then
    install -m 0600 /dev/null /etc/kubernetes/init.yaml
    configuration >/etc/kubernetes/init.yaml
    [ ! -e /etc/kubernetes/admin.conf ] || kubeadm reset --force
    kubeadm init --config /etc/kubernetes/init.yaml --skip-phases=addon/kube-proxy
    touch /etc/kubernetes/initialized
fi
for home in /root /home/vagrant; do
    [ -d "$home" ] || continue
    install -d -m 0700 "$home/.kube"
    install -m 0600 /etc/kubernetes/admin.conf "$home/.kube/config"
    chown -R --reference="$home" "$home/.kube"
done
