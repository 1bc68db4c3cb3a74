CASE=tables
WARNINGS=1
PROBE() { cat /proc/uptime; }
BEFORE='^[0-9.]+ [0-9.]+$'
AFTER='^klp keys 10 1 exception 42$'
LATE() {
	# The first read is without, the second one with the message.
	echo 'file fs/proc/uptime.c -p' > /sys/kernel/debug/dynamic_debug/control
	cat /proc/uptime > /dev/null
	dmesg | grep -q 'klp case debug' && finish FAIL debug-too-early
	echo 'file fs/proc/uptime.c +p' > /sys/kernel/debug/dynamic_debug/control
}
UNLOADED() { ! grep -q '^klp ' /proc/uptime; }
DMESG_END='klp case debug
klp case printk
klp case pre_patch vmlinux
klp case warning
WARNING: CPU: .* at .*fs/proc/uptime.c:[0-9]+ case_tables
uptime_proc_show\+.*\[livepatch_tables\]'
