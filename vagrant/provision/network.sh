#!/usr/bin/env bash
# The pods' network, as plain as can be: a bridge on each node with 10.244.NUMBER.0/24, NUMBER being
# the last of the node's address, and a route to each other node's. Environment: NODES
# ("NAME=ADDRESS …") and NODE, the name of this one.
set -euo pipefail
: "${NODES:?}" "${NODE:?}"

address=
for node in $NODES; do
    [ "${node%%=*}" != "$NODE" ] || address=${node#*=}
done
[ -n "$address" ] || {
    echo "network.sh: NODES has no $NODE: $NODES" >&2
    exit 1
}
pods=10.244.${address##*.}.0/24

install -d /etc/cni/net.d
cat >/etc/cni/net.d/10-pods.conflist <<END
{
  "cniVersion": "1.0.0",
  "name": "pods",
  "plugins": [
    {
      "type": "bridge",
      "bridge": "cni0",
      "isDefaultGateway": true,
      "hairpinMode": true,
      "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pods"}]]}
    },
    {"type": "portmap", "capabilities": {"portMappings": true}}
  ]
}
END

# Pods reach what is outside under the node's address, and each other under their own.
cat >/usr/local/sbin/pod-network <<END
#!/bin/sh
set -e
outside="POSTROUTING -s $pods ! -d 10.244.0.0/16 -j MASQUERADE"
iptables -t nat -C \$outside 2>/dev/null || iptables -t nat -A \$outside
END
for node in $NODES; do
    other=${node#*=}
    [ "$other" = "$address" ] ||
        echo "ip route replace 10.244.${other##*.}.0/24 via $other" >>/usr/local/sbin/pod-network
done
chmod 0755 /usr/local/sbin/pod-network

cat >/etc/systemd/system/pod-network.service <<'END'
[Unit]
Description=Routes to other nodes' pods
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/local/sbin/pod-network

[Install]
WantedBy=multi-user.target
END
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    systemctl enable --quiet pod-network
    systemctl restart pod-network
else
    /usr/local/sbin/pod-network
fi
