/* SPDX-License-Identifier: MIT OR Apache-2.0 OR GPL-2.0 */
/*
 * System calls in a source patch: where the patch changes the body of
 *
 *	SYSCALL_DEFINE2(name, type, arg, type, arg) { ... }
 *
 * let it also put KPATCH_ before SYSCALL_DEFINE2. Without that such a patch can often not be built: the kernel's
 * macro puts the body into a function that is `inline`, and what the kernel marks so has no ftrace entry, by
 * which livepatch could redirect it. When the compiler does not inline it after all, it is changed and cannot be
 * patched.
 *
 * Here that function gets another name for the linker, __kpatch_do_sys_NAME. So it is new, and what changed is
 * the entry of the system call that calls it, which has an ftrace entry. All else is the kernel's own macro,
 * with the rows of its tables of system calls: they are those of the unpatched object.
 */
#ifndef KLP_DIFF_KPATCH_SYSCALL_H
#define KLP_DIFF_KPATCH_SYSCALL_H

#include <linux/syscalls.h>
#include <linux/version.h>

/* The function with the body, as <linux/syscalls.h> or the machine's <asm/syscall_wrapper.h> declares it. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(4, 17, 0)
#define __KPATCH_SYSCALL_BODY(sname) __do_sys##sname
#else
#define __KPATCH_SYSCALL_BODY(sname) SYSC##sname
#endif

/* The name of the first declaration stays that of the others. */
#define KPATCH_SYSCALL_DEFINEx(x, sname, ...)                                                      \
	static inline long __KPATCH_SYSCALL_BODY(sname)(__MAP(x, __SC_DECL, __VA_ARGS__))          \
		__asm__("__kpatch_do_sys" #sname);                                                 \
	SYSCALL_DEFINEx(x, sname, __VA_ARGS__)

#define KPATCH_SYSCALL_DEFINE1(name, ...) KPATCH_SYSCALL_DEFINEx(1, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE2(name, ...) KPATCH_SYSCALL_DEFINEx(2, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE3(name, ...) KPATCH_SYSCALL_DEFINEx(3, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE4(name, ...) KPATCH_SYSCALL_DEFINEx(4, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE5(name, ...) KPATCH_SYSCALL_DEFINEx(5, _##name, __VA_ARGS__)
#define KPATCH_SYSCALL_DEFINE6(name, ...) KPATCH_SYSCALL_DEFINEx(6, _##name, __VA_ARGS__)

/* Without arguments there is no inline function in between. */
#define KPATCH_SYSCALL_DEFINE0(name) SYSCALL_DEFINE0(name)

#endif
