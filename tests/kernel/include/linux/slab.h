/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef STUB_SLAB_H
#define STUB_SLAB_H
#define GFP_KERNEL 0u
void *kcalloc(unsigned long n, unsigned long size, unsigned int flags);
void kfree(const void *object);
#endif
