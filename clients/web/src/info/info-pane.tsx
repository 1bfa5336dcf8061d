/** Who is in a conversation: a person, or a group with its members and what one's role allows. */
import type { Conversation, Member, Role } from '@parley/sdk';
import { type ReactNode, useEffect, useRef, useState } from 'react';
import { FlagAvatar } from '../art/flag.tsx';
import { Icon } from '../art/icons.tsx';
import { useKeptFocus } from '../chat/use-kept-focus.ts';
import { useClient, useMaybe, useName, useStore, useTitle } from '../chat/use-store.ts';
import { reasonOf, sentenceOf } from '../text/reason-text.ts';
import { AddMembers } from './add-members.tsx';
import { GroupName } from './group-name.tsx';
import { type Act, MemberMenu } from './member-menu.tsx';

export function InfoBody({ conversation }: { conversation: Conversation }): ReactNode {
  const info = useStore(conversation.info);
  const title = useTitle(conversation);
  const client = useClient();
  const peer = useMaybe(info.peer === undefined ? undefined : client.people.get(info.peer));
  const isGroup = info.kind === 'group';
  const body = useRef<HTMLDivElement>(null);
  useKeptFocus(body);
  return (
    <div className="pane-body" ref={body} tabIndex={-1}>
      <div className="pane-who">
        <FlagAvatar id={isGroup ? info.id : (info.peer ?? info.id)} group={isGroup} />
        <h3>
          <bdi>{title}</bdi>
        </h3>
        {!isGroup && peer?.username !== undefined && <p className="muted">@{peer.username}</p>}
        {!isGroup && peer?.statusText !== undefined && peer.statusText !== '' && (
          <p dir="auto">{peer.statusText}</p>
        )}
        {isGroup && <GroupName conversation={conversation} />}
      </div>
      {isGroup && <MemberList conversation={conversation} />}
    </div>
  );
}

function MemberList({ conversation }: { conversation: Conversation }): ReactNode {
  const info = useStore(conversation.info);
  const members = useStore(conversation.members);
  const [trouble, setTrouble] = useState<string | undefined>(undefined);
  const [isAdding, setAdding] = useState(false);
  const act: Act = async (run) => {
    setTrouble(undefined);
    try {
      await run();
    } catch (error) {
      setTrouble(sentenceOf(reasonOf(error)));
    }
  };
  useEffect(() => {
    // What is cached stays; a failure to refresh it is not worth a word.
    conversation.members.load().catch(() => undefined);
  }, [conversation, info.memberCount]);
  const canManage = info.role === 'owner' || info.role === 'admin';
  const canAdd = canManage || info.settings.add === 'all';
  return (
    <>
      <section className="section" aria-labelledby="members-title">
        <div className="section-head">
          <h3 id="members-title">Members ({info.memberCount})</h3>
          {canAdd && info.onServer && (
            <button type="button" className="button small" onClick={() => setAdding(true)}>
              <Icon name="plus" size={16} />
              Add
            </button>
          )}
        </div>
        {trouble !== undefined && (
          <p className="error" role="alert">
            {trouble}
          </p>
        )}
        <ul className="card-list">
          {sorted(members.items).map((member) => (
            <MemberItem
              key={member.userId}
              conversation={conversation}
              member={member}
              myRole={info.role}
              act={act}
            />
          ))}
        </ul>
        {!members.complete && <p className="note">The rest is not loaded.</p>}
      </section>
      {info.role !== undefined && info.onServer && (
        <LeaveGroup conversation={conversation} act={act} />
      )}
      {isAdding && (
        <AddMembers
          conversation={conversation}
          without={new Set(members.items.map((member) => member.userId))}
          act={act}
          close={() => setAdding(false)}
        />
      )}
    </>
  );
}

interface MemberItemProps {
  readonly conversation: Conversation;
  readonly member: Member;
  readonly myRole: Role | undefined;
  readonly act: Act;
}

function MemberItem({ conversation, member, myRole, act }: MemberItemProps): ReactNode {
  const name = useName(member.userId);
  const me = useClient().me.get().userId;
  const role = member.role ?? 'member';
  return (
    <li className="person" data-member={member.userId}>
      <FlagAvatar id={member.userId} small />
      <span className="stack">
        <span className="name clip">
          <bdi>{name || 'Someone'}</bdi>
          {member.userId === me && <span className="muted"> (you)</span>}
        </span>
      </span>
      {role !== 'member' && <span className="role">{role}</span>}
      {member.userId === me ? null : (
        <MemberMenu
          conversation={conversation}
          userId={member.userId}
          name={name}
          role={role}
          myRole={myRole}
          act={act}
        />
      )}
    </li>
  );
}

function LeaveGroup({ conversation, act }: { conversation: Conversation; act: Act }): ReactNode {
  const [isAsking, setAsking] = useState(false);
  if (!isAsking) {
    return (
      <button type="button" className="button danger" onClick={() => setAsking(true)}>
        Leave the group
      </button>
    );
  }
  return (
    <div className="section" role="group" aria-label="Leave the group?">
      <p>You will get nothing more from it. What you have here stays.</p>
      <div className="picked-actions">
        <button type="button" className="button" autoFocus onClick={() => setAsking(false)}>
          Stay
        </button>
        <button
          type="button"
          className="button danger"
          onClick={() => {
            setAsking(false);
            void act(() => conversation.members.leave());
          }}
        >
          Leave
        </button>
      </div>
    </div>
  );
}

const RANK: Readonly<Record<Role, number>> = { owner: 0, admin: 1, member: 2, guest: 3 };

function sorted(members: readonly Member[]): Member[] {
  const rank = (member: Member): number => RANK[member.role ?? 'member'];
  const joined = (member: Member): number => member.joinSequence ?? 0;
  return members.toSorted((a, b) => rank(a) - rank(b) || joined(a) - joined(b));
}
