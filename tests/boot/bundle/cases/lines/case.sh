# Nothing but lines that move.
objects="fs/proc/uptime.o fs/proc/cmdline.o"
files="fs/proc/uptime.c fs/proc/cmdline.c"
status=3
patch() { sed -i '1i // klp\n// klp' fs/proc/uptime.c fs/proc/cmdline.c; }
