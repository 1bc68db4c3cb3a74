/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef STUB_KERNEL_H
#define STUB_KERNEL_H
#include <linux/compiler.h>
#include <linux/printk.h>
#define NULL ((void *)0)
#define EINVAL 22
#define ENOMEM 12
#define __init __attribute__((section(".init.text")))
#define __exit __attribute__((section(".exit.text")))
typedef _Bool bool;
void stub_warn(void);
#define WARN_ON(condition)                                                                         \
	({                                                                                         \
		int stub_bad = !!(condition);                                                      \
		if (stub_bad)                                                                      \
			stub_warn();                                                               \
		stub_bad;                                                                          \
	})
#endif
