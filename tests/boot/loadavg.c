// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * /proc/loadavg, calling a function through a pointer that only the patch has: TARGET, of the
 * type WAY(void).
 */
#include <linux/fs.h>
#include <linux/sched/stat.h>
#include <linux/seq_file.h>
#include <linux/timekeeping.h>

#ifdef PATCHED
/* The compiler must not turn this into a direct call. */
static WAY (*volatile way)(void);
#endif

static int loadavg_proc_show(struct seq_file *m, void *v)
{
#ifdef PATCHED
	way = TARGET;
	seq_printf(m, "klp %lld\n", (long long)way());
#else
	seq_printf(m, "%u\n", nr_running());
#endif
	return 0;
}

int (*klp_keep)(struct seq_file *m, void *v) = loadavg_proc_show;
