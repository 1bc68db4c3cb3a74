// SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0
#include <linux/bug.h>
#include <linux/kernel.h>
#include <linux/kernel_stat.h>
#include <linux/sched/stat.h>

int klp_extra_count(int by);

static int klp_extra_total = 1000;

static noinline int klp_extra_add(int by)
{
	klp_extra_total += by;
	return klp_extra_total;
}

int klp_extra_count(int by)
{
	/* Not exported; only vmlinux has it. */
	if (WARN_ON(!nr_context_switches()))
		return -1;
	return klp_extra_add(by);
}
