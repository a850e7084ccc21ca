#!/usr/bin/env bash
# viprule on every node, in the mode MODE (environment): iptables or ipvs.
set -euo pipefail
: "${MODE:?}"
export KUBECONFIG=/etc/kubernetes/admin.conf

there=$(kubectl --namespace kube-system get daemonset viprule --ignore-not-found --output name)
kubectl apply --kustomize "/viprule/vagrant/kustomize/$MODE"
# For another program under the image's old name, and for settings that can't change while it runs.
[ -z "$there" ] || kubectl --namespace kube-system rollout restart daemonset viprule
kubectl --namespace kube-system rollout status daemonset viprule --timeout 300s
