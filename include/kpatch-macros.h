/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0 */
/*
 * What the author of a source patch can tell klp-diff. Include it in the patched file; the
 * macros go to file scope, behind the functions they name. They leave rows in sections
 * `.kpatch.*`, which klp-diff reads and the unpatched object does not have.
 */
#ifndef KLP_DIFF_KPATCH_MACROS_H
#define KLP_DIFF_KPATCH_MACROS_H

#include <linux/compiler.h>
#include <linux/livepatch.h>
#include <linux/printk.h>
#include <linux/version.h>

/* What callbacks get: the object (vmlinux or a module) that is patched or unpatched. */
typedef struct klp_object patch_object;

/*
 * A row of a table of callbacks. The name of the object is filled in by klp-diff: the one
 * that the file is part of. There can be one callback of each kind per object.
 */
struct kpatch_int_callback {
	int (*call)(patch_object *obj);
	const char *objname;
};

struct kpatch_void_callback {
	void (*call)(patch_object *obj);
	const char *objname;
};

#define __KPATCH_ROW(type, kind, fn)                                                               \
	static struct type __kpatch_##kind##_data_##fn __attribute__((                             \
		used, section(".kpatch.callbacks." #kind))) = { .call = fn }

/* int fn(patch_object *): before the object is patched; another value than 0 prevents it. */
#define KPATCH_PRE_PATCH_CALLBACK(fn) __KPATCH_ROW(kpatch_int_callback, pre_patch, fn)
/* void fn(patch_object *): after the object is patched and every task has moved over. */
#define KPATCH_POST_PATCH_CALLBACK(fn) __KPATCH_ROW(kpatch_void_callback, post_patch, fn)
/* void fn(patch_object *): before the object goes back. */
#define KPATCH_PRE_UNPATCH_CALLBACK(fn) __KPATCH_ROW(kpatch_void_callback, pre_unpatch, fn)
/* void fn(patch_object *): after the object went back. */
#define KPATCH_POST_UNPATCH_CALLBACK(fn) __KPATCH_ROW(kpatch_void_callback, post_unpatch, fn)

/*
 * Patch fn although tasks may be running it. Livepatch has its own consistency model and
 * does not need it: the mark is reported, and has no effect on when a task moves over.
 */
#define KPATCH_FORCE_UNSAFE(fn)                                                                    \
	static void *__kpatch_force_func_##fn                                                      \
		__attribute__((used, section(".kpatch.force"))) = fn

/* Differences in this section do not count: KPATCH_IGNORE_SECTION(".data.rarely"). */
#define KPATCH_IGNORE_SECTION(name)                                                                \
	static char *__UNIQUE_ID(kpatch_ignore_section_)                                           \
		__attribute__((used, section(".kpatch.ignore.sections"))) = name

/* Differences in this function do not count. */
#define KPATCH_IGNORE_FUNCTION(fn)                                                                 \
	static void *__kpatch_ignore_func_##fn                                                     \
		__attribute__((used, section(".kpatch.ignore.functions"))) = fn

/* printk() without an entry in the printk index, which would be a new variable. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 15, 0)
#define KPATCH_PRINTK(fmt, ...) _printk(fmt, ##__VA_ARGS__)
#else
#define KPATCH_PRINTK(fmt, ...) printk(fmt, ##__VA_ARGS__)
#endif

/*
 * static_call() through the key's pointer. For keys of modules: their calls are patched when
 * the livepatch is loaded, and the module may not be there yet.
 */
#ifdef CONFIG_HAVE_STATIC_CALL
#define KPATCH_STATIC_CALL(name)                                                                   \
	((typeof(STATIC_CALL_TRAMP(name)) *)READ_ONCE(STATIC_CALL_KEY(name).func))
#endif

#endif
