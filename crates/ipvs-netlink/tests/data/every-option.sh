#!/bin/sh
# Every option of virtual servers and destinations that ipvsadm 1.31 saves. Run in a network
# namespace with IPVS; every-option.txt and every-option.proc are what
#   ipvsadm -Sn
#   cat /proc/net/ip_vs
# print then (Linux 6.1.176, HZ 100).
set -eu
add() { ipvsadm "$@"; }
add -A -t 10.0.0.1:80 -s rr
add -A -t 10.0.0.1:0 -s wlc -p 600 -M 255.255.255.0
add -A -u 10.0.0.1:5060 -s sh -p 60 --pe sip -o -b sh-port,sh-fallback
add -A -t 10.0.0.2:80 -s mh -b mh-port
add -A -t 10.0.0.3:80 -s rr -b flag-1,flag-2,flag-3
add -A -t '[fd00::1]:80' -s lc -p 100 -M 64
add -A --sctp-service 10.0.0.1:80 -s nq
add -A -f 7 -s rr
add -A -f 7 -6 -s sed -p 300
add -A -f 4294967295 -s rr
add -A -f 8 -s rr -o
add -a -t 10.0.0.1:80 -r 10.1.0.1:8080 -m -w 3 -x 100 -y 50
add -a -t 10.0.0.1:80 -r 10.1.0.2 -g -w 0
add -a -t 10.0.0.1:80 -r 10.1.0.3 -i
add -a -t 10.0.0.1:80 -r fd00::3 -i
add -a -t 10.0.0.1:80 -r 10.1.0.4 -i --tun-type gue --tun-port 6080
add -a -t 10.0.0.1:80 -r 10.1.0.5 -i --tun-type gue --tun-port 6080 --tun-remcsum
add -a -t 10.0.0.1:80 -r 10.1.0.6 -i --tun-type gre --tun-csum
add -a -t 10.0.0.1:80 -r 127.0.0.1:80 -m
add -a -t '[fd00::1]:80' -r '[fd00::10]:8080' -m -w 2147483647
add -a -t '[fd00::1]:80' -r 10.9.9.9 -i
add -a -f 7 -r 10.1.0.9 -m
add -a -f 7 -6 -r '[fd00::9]:90' -m
add -a -f 8 -r 10.1.0.9:53 -g
add -a --sctp-service 10.0.0.1:80 -r 10.1.0.1:8080 -m
