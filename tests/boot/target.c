// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A module for the boot tests to patch. It is built three times: as it runs, and, with a
 * section for each function, without and with PATCHED for the comparison.
 */
#include <linux/kernel.h>
#include <linux/module.h>
#ifdef PATCHED
#include "kpatch-macros.h"
#endif

static int klp_target_calls;

static noinline int klp_target_helper(int x)
{
	return x * 3;
}

#ifdef PATCHED
static noinline int klp_target_new(int x)
{
	/* A function and a variable of the module as it runs, and one that is new. */
	static int times;

	times++;
	return klp_target_helper(x) + klp_target_calls + times * 1000;
}
#endif

static noinline int klp_target_show(char *buffer, const struct kernel_param *kp)
{
	klp_target_calls++;
#ifdef PATCHED
	return sprintf(buffer, "patched %d %d\n", klp_target_new(klp_target_calls),
		       klp_target_calls);
#else
	return sprintf(buffer, "original %d\n", klp_target_helper(klp_target_calls));
#endif
}

static const struct kernel_param_ops klp_target_ops = { .get = klp_target_show };
module_param_cb(value, &klp_target_ops, NULL, 0444);

#ifdef PATCHED
static int klp_target_before(patch_object *obj)
{
	pr_info("klp_target pre_patch %s\n", obj->name);
	return 0;
}
KPATCH_PRE_PATCH_CALLBACK(klp_target_before);

static void klp_target_after(patch_object *obj)
{
	KPATCH_PRINTK("klp_target post_patch %s\n", obj->name);
}
KPATCH_POST_PATCH_CALLBACK(klp_target_after);

static void klp_target_back(patch_object *obj)
{
	pr_info("klp_target pre_unpatch %s\n", obj->name);
}
KPATCH_PRE_UNPATCH_CALLBACK(klp_target_back);

static void klp_target_gone(patch_object *obj)
{
	pr_info("klp_target post_unpatch %s\n", obj->name);
}
KPATCH_POST_UNPATCH_CALLBACK(klp_target_gone);
#endif

static int __init klp_target_init(void)
{
	return 0;
}

static void __exit klp_target_exit(void)
{
}

module_init(klp_target_init);
module_exit(klp_target_exit);
MODULE_LICENSE("GPL");
