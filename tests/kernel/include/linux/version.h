/* SPDX-License-Identifier: MIT OR Apache-2.0 */
#ifndef STUB_VERSION_H
#define STUB_VERSION_H
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + ((c) > 255 ? 255 : (c)))
#ifndef LINUX_VERSION_CODE
#define LINUX_VERSION_CODE KERNEL_VERSION(6, 12, 0)
#endif
#endif
