#include <linux/bug.h>
#include <linux/jump_label.h>
#include <linux/printk.h>
#include <linux/uaccess.h>
#include <linux/static_call.h>
#include <asm/alternative.h>
#include "kpatch-macros.h"

static DEFINE_STATIC_KEY_FALSE(case_off);
static DEFINE_STATIC_KEY_TRUE(case_on);

static noinline int case_exception(void)
{
	int value = 0;

	pagefault_disable();
	__get_kernel_nofault(&value, (int *)0x10, int, fault);
	pagefault_enable();
	return value;
fault:
	pagefault_enable();
	return 42;
}

static noinline int case_keys(void)
{
	int seen = 0;

	if (static_branch_unlikely(&case_off))
		seen += 1;
	if (static_branch_likely(&case_on))
		seen += 10;
	return seen;
}

static noinline void case_tables(struct seq_file *m)
{
	int before = case_keys(), after;

	static_branch_enable(&case_off);
	static_branch_disable(&case_on);
	after = case_keys();
	static_branch_disable(&case_off);
	static_branch_enable(&case_on);

	/* The machine dies unless both are patched. */
	alternative("ud2", "nop", X86_FEATURE_ALWAYS);
	alternative("nop", "ud2", X86_FEATURE_IA64);

	/* A static call whose key is the kernel's, and the same without rewriting code. */
	cond_resched();
	KPATCH_STATIC_CALL(cond_resched)();
	KPATCH_PRINTK("klp case printk\n");
	pr_debug("klp case debug\n");
	WARN_ONCE(1, "klp case warning\n");
	seq_printf(m, "klp keys %d %d exception %d\n", before, after, case_exception());
}

static int case_before(patch_object *obj)
{
	KPATCH_PRINTK("klp case pre_patch %s\n", obj->name ? obj->name : "vmlinux");
	return 0;
}
KPATCH_PRE_PATCH_CALLBACK(case_before);

