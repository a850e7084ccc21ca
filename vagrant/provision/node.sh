#!/usr/bin/env bash
# What kubeadm asks of a node: no swap, modules, sysctls, and the other nodes' names.
# Environment: NODES ("NAME=ADDRESS NAME=ADDRESS …").
set -euo pipefail
: "${NODES:?}"

swapoff -a
if grep -qsE '^[^#].*\sswap\s' /etc/fstab; then
    sed -i -E '/^[^#].*\sswap\s/s/^/#/' /etc/fstab
fi

# The schedulers of IPVS mode load on demand where the agent may load modules; a container with
# CAP_NET_ADMIN alone may not.
cat >/etc/modules-load.d/kubernetes.conf <<'END'
overlay
br_netfilter
nf_conntrack
ip_vs
ip_vs_rr
ip_vs_wrr
ip_vs_lc
ip_vs_sh
ip_vs_mh
dummy
END
while read -r module; do
    modprobe "$module"
done </etc/modules-load.d/kubernetes.conf

cat >/etc/sysctl.d/99-kubernetes.conf <<'END'
net.ipv4.ip_forward = 1
net.ipv6.conf.all.forwarding = 1
net.bridge.bridge-nf-call-iptables = 1
net.bridge.bridge-nf-call-ip6tables = 1
END
sysctl --quiet --load /etc/sysctl.d/99-kubernetes.conf

for node in $NODES; do
    # The box may have given a node's own name to a loopback address, which others can't reach.
    grep -vE "\s${node%%=*}(\s|\$)" /etc/hosts >/etc/hosts.new || true
    echo "${node#*=} ${node%%=*}" >>/etc/hosts.new
    cat /etc/hosts.new >/etc/hosts
    rm /etc/hosts.new
done
