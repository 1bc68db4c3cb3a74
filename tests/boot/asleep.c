// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A module whose thread falls asleep in code that the patch changes: behind a WARN, and below a
 * call of a function that never returns, and that stays in this module.
 */
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/kthread.h>
#include <linux/module.h>

static bool klp_asleep_wake;
module_param_named(wake, klp_asleep_wake, bool, 0644);

static struct completion klp_asleep_gone;

static noinline void __noreturn klp_asleep_end(long code)
{
	while (!READ_ONCE(klp_asleep_wake))
		msleep(50);
	kthread_complete_and_exit(&klp_asleep_gone, code);
}

static noinline int klp_asleep_run(long way)
{
	char text[64];

	if (way == 2) {
		snprintf(text, sizeof(text), "%ld", way);
		klp_asleep_end(text[0]);
	}
	if (way > 2)
		return way;
#ifdef PATCHED
	WARN(way == 1, "klp_asleep woke up\n");
#endif
	while (!READ_ONCE(klp_asleep_wake))
		msleep(50);
	return snprintf(text, sizeof(text), "%ld", way) + text[0];
}

static int klp_asleep_thread(void *data)
{
	int result = klp_asleep_run((long)data);

	kthread_complete_and_exit(&klp_asleep_gone, result);
}

static int klp_asleep_start(const char *text, const struct kernel_param *kp)
{
	long way;
	int error = kstrtol(text, 0, &way);

	if (!error)
		kthread_run(klp_asleep_thread, (void *)way, "klp_asleep%ld", way);
	return error;
}

static const struct kernel_param_ops klp_asleep_ops = { .set = klp_asleep_start };
module_param_cb(start, &klp_asleep_ops, NULL, 0200);

static int __init klp_asleep_init(void)
{
	init_completion(&klp_asleep_gone);
	return 0;
}
module_init(klp_asleep_init);

static void __exit klp_asleep_exit(void)
{
}
module_exit(klp_asleep_exit);

MODULE_DESCRIPTION("what the boot tests let fall asleep");
MODULE_LICENSE("GPL");
