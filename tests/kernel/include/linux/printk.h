/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef STUB_PRINTK_H
#define STUB_PRINTK_H
#include <linux/version.h>
/* Since 5.15 printk() is a macro that leaves an entry in an index. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(5, 15, 0)
int _printk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#define printk(fmt, ...)                                                                           \
	({                                                                                         \
		static const char *const _entry __attribute__((used, section(".printk_index"))) =  \
			fmt;                                                                       \
		_printk(fmt, ##__VA_ARGS__);                                                       \
	})
#else
int printk(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
#endif
#define pr_err(fmt, ...) printk("\0013" fmt, ##__VA_ARGS__)
#endif
