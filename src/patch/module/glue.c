// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Turns the tables of a livepatch object into struct klp_patch and enables it.
 *
 * The tables are gathered by glue.lds. A row of .kpatch.funcs is a function to replace, a row
 * of .kpatch.callbacks.* is a function to call when an object is patched or unpatched.
 * Linux 4.19 and later; everything that depends on the version is in the first block.
 */
#include <linux/kernel.h>
#include <linux/livepatch.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/version.h>

/*
 * Since 5.1 enabling a patch registers it, too, and a patch can replace all older ones.
 * Distributions that took this to an older kernel set KLP_GLUE_REGISTER=0.
 */
#ifndef KLP_GLUE_REGISTER
#define KLP_GLUE_REGISTER (LINUX_VERSION_CODE < KERNEL_VERSION(5, 1, 0))
#endif

#ifndef KLP_GLUE_REPLACE
#define KLP_GLUE_REPLACE 0
#endif

#if KLP_GLUE_REGISTER && KLP_GLUE_REPLACE
#error "this kernel cannot replace older livepatches"
#endif

static struct klp_patch klp_glue_patch = {
	.mod = THIS_MODULE,
#if !KLP_GLUE_REGISTER
	.replace = KLP_GLUE_REPLACE,
#endif
};

static int klp_glue_enable(void)
{
	int ret;

#if KLP_GLUE_REGISTER
	ret = klp_register_patch(&klp_glue_patch);
	if (ret)
		return ret;
	ret = klp_enable_patch(&klp_glue_patch);
	if (ret)
		WARN_ON(klp_unregister_patch(&klp_glue_patch));
#else
	ret = klp_enable_patch(&klp_glue_patch);
#endif
	return ret;
}

static void klp_glue_forget(void)
{
#if KLP_GLUE_REGISTER
	WARN_ON(klp_unregister_patch(&klp_glue_patch));
#endif
}

/* From here on nothing depends on the version. */

struct klp_glue_func {
	unsigned long new_addr;
	unsigned long new_size;
	unsigned long old_addr;
	unsigned long old_size;
	unsigned long sympos;
	char *name;
	char *objname;
};

struct klp_glue_callback {
	void *call;
	char *objname;
};

extern struct klp_glue_func __kpatch_funcs[], __kpatch_funcs_end[];
extern struct klp_glue_callback __kpatch_callbacks_pre_patch[], __kpatch_callbacks_pre_patch_end[];
extern struct klp_glue_callback __kpatch_callbacks_post_patch[],
	__kpatch_callbacks_post_patch_end[];
extern struct klp_glue_callback __kpatch_callbacks_pre_unpatch[],
	__kpatch_callbacks_pre_unpatch_end[];
extern struct klp_glue_callback __kpatch_callbacks_post_unpatch[],
	__kpatch_callbacks_post_unpatch_end[];

/* Number of entries of klp_glue_objects, without the empty one that ends it. */
static unsigned int klp_glue_count;
static struct klp_object *klp_glue_objects;

static bool klp_glue_same_object(const struct klp_object *obj, const char *name)
{
	return obj->name ? !strcmp(obj->name, name) : !strcmp(name, "vmlinux");
}

/* The entry for an object; made on first use. The array has room for every row. */
static struct klp_object *klp_glue_object(char *name)
{
	struct klp_object *obj;
	unsigned int i;

	for (i = 0; i < klp_glue_count; i++)
		if (klp_glue_same_object(&klp_glue_objects[i], name))
			return &klp_glue_objects[i];
	obj = &klp_glue_objects[klp_glue_count++];
	obj->name = strcmp(name, "vmlinux") ? name : NULL;
	return obj;
}

static void klp_glue_free(void)
{
	unsigned int i;

	if (!klp_glue_objects)
		return;
	for (i = 0; i < klp_glue_count; i++)
		kfree(klp_glue_objects[i].funcs);
	kfree(klp_glue_objects);
	klp_glue_objects = NULL;
	klp_glue_count = 0;
}

/* One callback of each kind per object is all that the kernel has room for. */
#define klp_glue_callbacks(kind)                                                                  \
	({                                                                                         \
		struct klp_glue_callback *row;                                                     \
		int bad = 0;                                                                       \
                                                                                                   \
		for (row = __kpatch_callbacks_##kind; row < __kpatch_callbacks_##kind##_end;       \
		     row++) {                                                                      \
			struct klp_object *obj;                                                    \
                                                                                                   \
			if (!row->call)                                                            \
				continue;                                                          \
			obj = klp_glue_object(row->objname);                                       \
			if (obj->callbacks.kind) {                                                 \
				pr_err("two " #kind " callbacks for %s\n", row->objname);          \
				bad = -EINVAL;                                                     \
				break;                                                             \
			}                                                                          \
			obj->callbacks.kind = row->call;                                           \
		}                                                                                  \
		bad;                                                                               \
	})

static int klp_glue_fill(void)
{
	struct klp_glue_func *row;
	unsigned int rows, i;
	int ret;

	rows = __kpatch_funcs_end - __kpatch_funcs;
	rows += __kpatch_callbacks_pre_patch_end - __kpatch_callbacks_pre_patch;
	rows += __kpatch_callbacks_post_patch_end - __kpatch_callbacks_post_patch;
	rows += __kpatch_callbacks_pre_unpatch_end - __kpatch_callbacks_pre_unpatch;
	rows += __kpatch_callbacks_post_unpatch_end - __kpatch_callbacks_post_unpatch;
	klp_glue_objects = kcalloc(rows + 1, sizeof(*klp_glue_objects), GFP_KERNEL);
	if (!klp_glue_objects)
		return -ENOMEM;

	for (row = __kpatch_funcs; row < __kpatch_funcs_end; row++)
		if (row->new_addr)
			klp_glue_object(row->objname);
	ret = klp_glue_callbacks(pre_patch);
	if (!ret)
		ret = klp_glue_callbacks(post_patch);
	if (!ret)
		ret = klp_glue_callbacks(pre_unpatch);
	if (!ret)
		ret = klp_glue_callbacks(post_unpatch);
	if (ret)
		return ret;
	if (!klp_glue_count) {
		pr_err("the livepatch changes nothing\n");
		return -EINVAL;
	}

	for (i = 0; i < klp_glue_count; i++) {
		struct klp_object *obj = &klp_glue_objects[i];
		struct klp_func *func;
		unsigned int count = 0;

		for (row = __kpatch_funcs; row < __kpatch_funcs_end; row++)
			if (row->new_addr && klp_glue_same_object(obj, row->objname))
				count++;
		obj->funcs = kcalloc(count + 1, sizeof(*obj->funcs), GFP_KERNEL);
		if (!obj->funcs)
			return -ENOMEM;
		func = obj->funcs;
		for (row = __kpatch_funcs; row < __kpatch_funcs_end; row++) {
			if (!row->new_addr || !klp_glue_same_object(obj, row->objname))
				continue;
			func->old_name = row->name;
			func->new_func = (void *)row->new_addr;
			func->old_sympos = row->sympos;
			func++;
		}
	}
	klp_glue_patch.objs = klp_glue_objects;
	return 0;
}

static int __init klp_glue_init(void)
{
	int ret = klp_glue_fill();

	if (!ret)
		ret = klp_glue_enable();
	if (ret)
		klp_glue_free();
	return ret;
}

static void __exit klp_glue_exit(void)
{
	klp_glue_forget();
	klp_glue_free();
}

module_init(klp_glue_init);
module_exit(klp_glue_exit);
MODULE_LICENSE("GPL");
MODULE_INFO(description, "Livepatch");
MODULE_INFO(livepatch, "Y");
