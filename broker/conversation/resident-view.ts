/** Read access to a resident conversation, in place. */
import { text } from '../../core/bytes.ts';
import type { BucketView, ConversationView, MemberView, MyView } from './contract.ts';
import { BUCKET_BYTES, SETTINGS_BIT } from './header.ts';
import { LiveConversation } from './live-conversation.ts';
import { MEMBER_FLAG } from './member.ts';
import { readU48 } from './packed.ts';
import { MENTIONS_MAX } from './mentions.ts';
import type { Residents } from './residents.ts';
import type { ShardSettings } from './shard-settings.ts';

const DIRECT_MEMBERS_MAX = 2;

export class ResidentView implements ConversationView {
  readonly #live: LiveConversation;
  readonly #settings: ShardSettings;

  /** The conversation must be resident and created. */
  constructor(residents: Residents, resident: number, settings: ShardSettings) {
    this.#live = new LiveConversation(residents).open(resident);
    this.#settings = settings;
  }

  get conversation(): Uint8Array {
    return this.#live.residents.idOf(this.#live.resident);
  }
  get kind(): 'direct' | 'group' {
    return this.#live.header.isDirect ? 'direct' : 'group';
  }
  get name(): string {
    const { header } = this.#live;
    const at = header.at + header.nameOffset;
    return text(header.bytes.subarray(at, at + header.nameBytes));
  }
  get pictureMediaId(): string {
    const { header } = this.#live;
    const at = header.at + header.pictureOffset;
    return text(header.bytes.subarray(at, at + header.pictureBytes));
  }
  get creator(): Uint8Array {
    return this.#live.header.creator.slice();
  }
  get memberCount(): number {
    return this.#live.header.memberCount;
  }
  get membersMax(): number {
    return this.#live.header.isDirect ? DIRECT_MEMBERS_MAX : this.#settings.membersMax;
  }
  get settings(): ConversationView['settings'] {
    const { settings, slowModeMs } = this.#live.header;
    return {
      historyAll: (settings & SETTINGS_BIT.historyAll) !== 0,
      sendAdminsOnly: (settings & SETTINGS_BIT.sendAdminsOnly) !== 0,
      addMembersToo: (settings & SETTINGS_BIT.addMembersToo) !== 0,
      slowModeMs,
    };
  }
  get closed(): boolean {
    return this.#live.header.isClosed;
  }
  get epoch(): number {
    return this.#settings.epoch;
  }
  get head(): number {
    return this.#live.header.head;
  }
  get messageCount(): number {
    return this.#live.header.ordinal;
  }
  get lastMessageSequence(): number {
    return this.#live.header.lastMessageSequence;
  }
  get createTimeMs(): number {
    return this.#live.header.createTimeMs;
  }
  get lastTimeMs(): number {
    return this.#live.header.lastTimeMs;
  }
  get lastIndex(): number {
    return this.#live.header.lastIndex;
  }
  get version(): number {
    return this.#live.header.etag;
  }
  get overlayCount(): number {
    return this.#live.header.overlayCount;
  }
  get buckets(): readonly BucketView[] {
    const { header } = this.#live;
    return Array.from({ length: header.bucketCount }, (_, i) => {
      const at = header.at + header.bucketsOffset + i * BUCKET_BYTES;
      return {
        bucket: header.view.getUint16(at, true),
        firstSequence: readU48(header.view, at + 2),
        firstTimeMs: readU48(header.view, at + 8),
      };
    });
  }

  ownChangeIndex(user: Uint8Array): number {
    return this.#live.aimAt(user) ? this.#live.member.ownChangeIndex : 0;
  }

  membership(user: Uint8Array): 'member' | 'left' | undefined {
    if (!this.#live.aimAt(user)) return undefined;
    return this.#live.member.isPresent ? 'member' : 'left';
  }

  me(user: Uint8Array): MyView | undefined {
    const live = this.#live;
    if (!this.#aimAtPresent(user)) return undefined;
    const { header, member, sender } = live;
    const wrote = live.openSender(member.slot);
    const others = header.ordinal - (wrote ? sender.own : 0);
    const othersMentionAll = header.mentionAllOrdinal - (wrote ? sender.ownMentionAll : 0);
    const mentionAlls = othersMentionAll - (member.mentionAllAtRead - member.ownMentionAllAtRead);
    return {
      role: member.role,
      historyFrom: member.historyFrom,
      readThrough: member.readThrough,
      deliveredThrough: member.deliveredThrough,
      unreadCount: others - (member.ordinalAtRead - member.ownAtRead),
      mentionCount: Math.min(live.mentions.count(member.slot) + mentionAlls, MENTIONS_MAX),
      notify: member.notify,
      muteUntilMs: member.muteUntilMs,
      archived: member.has(MEMBER_FLAG.archived),
      pinned: member.has(MEMBER_FLAG.pinned),
      markedUnread: member.has(MEMBER_FLAG.markedUnread),
      clearedThrough: member.clearedThrough,
    };
  }

  peer(user: Uint8Array): Uint8Array | undefined {
    const live = this.#live;
    if (!live.header.isDirect || !live.aimAt(user)) return undefined;
    live.aimMember(live.header.slotCount - 1 - live.member.slot);
    return live.member.user.slice();
  }

  member(user: Uint8Array): MemberView | undefined {
    const live = this.#live;
    if (!this.#aimAtPresent(user)) return undefined;
    const { member } = live;
    const inviter = member.inviterSlot;
    const view = {
      user: member.user.slice(),
      role: member.role,
      joinTimeMs: member.joinTimeMs,
      joinSequence: member.joinSequence,
      deliveredThrough: member.deliveredThrough,
      readThrough: member.readThrough,
      deliveredTimeMs: member.deliveredTimeMs,
      readTimeMs: member.readTimeMs,
    };
    if (inviter < 0) return { ...view, invitedBy: new Uint8Array(0) };
    live.aimMember(inviter);
    return { ...view, invitedBy: live.member.user.slice() };
  }

  eachMember(each: (user: Uint8Array, role: number) => boolean | undefined): void {
    const { header, member } = this.#live;
    const slots = header.slotCount;
    for (let slot = 0; slot < slots; slot++) {
      this.#live.aimMember(slot);
      if (member.isPresent && each(member.user, member.role) === false) return;
    }
  }

  counts(
    sequence: number,
    sender: Uint8Array,
  ): { readonly of: number; readonly delivered: number; readonly read: number } {
    const live = this.#live;
    const { header, member } = live;
    const senderSlot = live.slotOf(sender, 0);
    const slots = header.slotCount;
    let of = 0;
    let delivered = 0;
    let read = 0;
    for (let slot = 0; slot < slots; slot++) {
      if (slot === senderSlot) continue;
      live.aimMember(slot);
      if (!member.isPresent || member.joinSequence >= sequence) continue;
      of += 1;
      if (member.deliveredThrough >= sequence) delivered += 1;
      if (member.readThrough >= sequence) read += 1;
    }
    return { of, delivered, read };
  }

  #aimAtPresent(user: Uint8Array): boolean {
    return this.#live.aimAt(user) && this.#live.member.isPresent;
  }
}
