# Code with rows in the kernel's tables of code, in one function.
objects="fs/proc/uptime.o"
files="fs/proc/uptime.c"
patch() {
	sed -i "/^static int uptime_proc_show(/e cat '$1/code.c'" fs/proc/uptime.c
	sed -i '/^static int uptime_proc_show(/,/^}/ s/^\treturn 0;/\tcase_tables(m);\n\treturn 0;/' \
		fs/proc/uptime.c
}
