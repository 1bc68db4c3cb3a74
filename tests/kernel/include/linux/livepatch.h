/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/* The part of livepatch's interface that patches fill in, as each version has it. */
#ifndef STUB_LIVEPATCH_H
#define STUB_LIVEPATCH_H
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/version.h>

struct klp_object;

struct klp_func {
	const char *old_name;
	void *new_func;
	unsigned long old_sympos;
	/* From here on the kernel fills in. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 1, 0)
	void *old_func;
	unsigned long old_size, new_size;
	bool nop, patched, transition;
#else
	unsigned long old_addr;
	unsigned long old_size, new_size;
	bool patched, transition;
#endif
};

struct klp_callbacks {
	int (*pre_patch)(struct klp_object *obj);
	void (*post_patch)(struct klp_object *obj);
	void (*pre_unpatch)(struct klp_object *obj);
	void (*post_unpatch)(struct klp_object *obj);
	bool post_unpatch_enabled;
};

struct klp_object {
	const char *name;
	struct klp_func *funcs;
	struct klp_callbacks callbacks;
	struct module *mod;
	bool patched;
};

#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 5, 0)
struct klp_state {
	unsigned long id;
	unsigned int version;
	void *data;
};
#endif

struct klp_patch {
	struct module *mod;
	struct klp_object *objs;
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 5, 0)
	struct klp_state *states;
#endif
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 1, 0)
	bool replace;
#endif
	bool enabled;
};

int klp_enable_patch(struct klp_patch *patch);
#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 1, 0)
int klp_register_patch(struct klp_patch *patch);
int klp_unregister_patch(struct klp_patch *patch);
#endif

#endif
