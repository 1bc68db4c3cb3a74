CASE=new-file
PROBE() { cat /proc/version /proc/loadavg; }
BEFORE='^Linux version'
AFTER='^klp version 10[0-9]+$'
LATE() { cat /proc/uptime > /dev/null; }
UNLOADED() { ! cat /proc/version /proc/loadavg | grep -q '^klp '; }
