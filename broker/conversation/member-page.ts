/**
 * A page of 64 member slots of a large group. Disk format, version 1; golden bytes guard it.
 *   0 u8 version   1 u8 slots   2 u16 0   4 u32 mentions   8 slots (member.ts), then mentions as in
 *   the header (8 each: u16 slot in this page, u48 sequence)
 */
export const PAGE_VERSION = 1;
export const PAGE_FIXED_BYTES = 8;
