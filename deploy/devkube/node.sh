#!/bin/sh
# The node: process 1 of its own mount, network and process namespaces. Its variables are the fields of the devkube.
# SIGKILL ends it, and then the kernel kills all its processes. etcd and containerd survive that without damage.
set -eu
umask 022
PATH="$bin:$PATH"

# Mount folders of its own to write to. They exist only in its mount namespace.
# A fresh sysfs shows this network namespace's devices; the cgroups have to be carried over.
cgroups="$state/run/cgroups"
mkdir "$cgroups"
mount --rbind /sys/fs/cgroup "$cgroups"
mount -t sysfs sysfs /sys
mount --rbind "$cgroups" /sys/fs/cgroup
umount -R "$cgroups"
mount --make-rshared /
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/netns
for covered in /var/lib /var/log /tmp; do
  mkdir -p "$state$covered"
  mount --bind "$state$covered" "$covered"
done
chmod 1777 /tmp
# Kubelet would set these for the whole machine. Here it writes to files that are mounted over them.
for tunable in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops \
  kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  copy="$state/run/${tunable##*/}"
  cat "/proc/sys/$tunable" > "$copy"
  mount --bind "$copy" "/proc/sys/$tunable"
done

hostname "$name"
ip link set lo up
until [ -e /sys/class/net/eth0 ]; do sleep 0.02; done # The host moves the device into this namespace.
ip addr add "$link.2/30" dev eth0
ip link set eth0 up
# A service address needs a route before it is translated. There is no other route: pods cannot reach other networks.
ip route add "$services.0/20" dev eth0
[ -e /proc/sys/net/bridge ] || modprobe br_netfilter
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/bridge/bridge-nf-call-iptables

# Run a program, and restart it when it ends.
keep() {
  while :; do
    "$@" >> "$state/log/$1.log" 2>&1 || :
    echo "$1 ended"
    sleep 2
  done &
}

netpol() {
  "$python" -I "$config/netpol.py" "$name" "$config/admin.kubeconfig" "$state/run/netpol"
}

# etcd uses no TLS on the node's own loopback, which only host-network pods can reach.
keep etcd --name=default --data-dir="$state/etcd" --log-level=warn --unsafe-no-fsync
keep containerd --config "$config/containerd.toml"
api="https://$link.2:$port"
keep kube-apiserver --bind-address="$link.2" --secure-port="$port" --advertise-address="$link.2" \
  --etcd-servers=http://127.0.0.1:2379 --service-cluster-ip-range="$services.0/20" --allow-privileged=true \
  --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --token-auth-file="$pki/tokens.csv" \
  --tls-cert-file="$pki/kubernetes.crt" --tls-private-key-file="$pki/kubernetes.key" \
  --kubelet-client-certificate="$pki/kubernetes.crt" --kubelet-client-key="$pki/kubernetes.key" \
  --kubelet-preferred-address-types=InternalIP --service-account-jwks-uri="$api/openid/v1/jwks" \
  --service-account-issuer=https://kubernetes.default.svc.cluster.local \
  --service-account-signing-key-file="$pki/kubernetes.key" --service-account-key-file="$pki/kubernetes.key" \
  --audit-policy-file="$config/audit.yaml" --audit-log-path="$state/log/audit.jsonl" --audit-log-maxsize=1000 \
  --audit-log-maxbackup=1
until [ -e "$state/run/api" ]; do sleep 0.05; done # The host checks whether it answers.

rates="${fast:+--kube-api-qps=300 --kube-api-burst=500}"
# shellcheck disable=SC2086 # It has to be split into two options, or none.
keep kube-controller-manager --kubeconfig="$config/controller-manager.kubeconfig" --bind-address=127.0.0.1 \
  --leader-elect=false --use-service-account-credentials=true --root-ca-file="$pki/kubernetes.crt" \
  --service-account-private-key-file="$pki/kubernetes.key" --enable-hostpath-provisioner=true $rates
# shellcheck disable=SC2086
keep kube-scheduler --kubeconfig="$config/scheduler.kubeconfig" --bind-address=127.0.0.1 --leader-elect=false $rates
keep kubelet --config="$config/kubelet.yaml" --kubeconfig="$config/kubelet.kubeconfig" --node-ip="$link.2" \
  --hostname-override="$name"
# The conntrack sysctls can be written only in the machine's first network namespace.
keep kube-proxy --kubeconfig="$config/kube-proxy.kubeconfig" --proxy-mode=nftables --cluster-cidr="$pods.0/24" \
  --bind-address="$link.2" --nodeport-addresses="$link.2/32" --hostname-override="$name" --oom-score-adj=0 \
  --conntrack-max-per-core=0 --conntrack-tcp-timeout-established=0s --conntrack-tcp-timeout-close-wait=0s
keep netpol
keep kwok --kubeconfig="$config/admin.kubeconfig" --config="$config/stages.yaml" --manage-all-nodes=false \
  --manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake --cidr=10.250.0.1/16 --node-ip=10.249.0.1 \
  --node-lease-duration-seconds=40 --server-address=127.0.0.1:10247

# The host-path provisioner makes volumes that only root may use, and fsGroup does not apply to them.
while sleep 0.3; do chmod -f 777 /tmp/hostpath_pv/* || :; done
