# Two changed objects that call a source file which the patch adds.
objects="fs/proc/version.o fs/proc/loadavg.o"
new="fs/proc/klp_extra.o"
files="fs/proc/version.c fs/proc/loadavg.c fs/proc/Makefile"
patch() {
	local f
	for f in version loadavg; do
		sed -i "/^static int ${f}_proc_show(/,/^}/ s/^\treturn 0;/\tseq_printf(m, \"klp $f %d\\\\n\", klp_extra_count(${#f}));\n&/
			s/^static int ${f}_proc_show(/int klp_extra_count(int by);\n\n&/" \
			fs/proc/$f.c
	done
	cp "$1/code.c" fs/proc/klp_extra.c
	echo 'obj-y += klp_extra.o' >> fs/proc/Makefile
}
