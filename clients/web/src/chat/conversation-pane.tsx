/** One conversation: head, timeline, composer. Mounted anew for each conversation. */
import type { Conversation, MessageRow, Timeline } from '@parley/sdk';
import { type ReactNode, useCallback, useEffect, useMemo, useRef, useState } from 'react';
import { FlagAvatar } from '../art/flag.tsx';
import { Icon } from '../art/icons.tsx';
import { Composer } from '../composer/composer.tsx';
import { textOf } from '../timeline/message-row.tsx';
import { TimelineView } from '../timeline/timeline-view.tsx';
import { useName, useStore, useTitle } from './use-store.ts';

interface ConversationPaneProps {
  readonly conversation: Conversation;
  readonly isInfoOpen: boolean;
  readonly toggleInfo: () => void;
  readonly leave: () => void;
}

export function ConversationPane(props: ConversationPaneProps): ReactNode {
  const { conversation } = props;
  const timeline = useTimeline(conversation);
  const title = useTitle(conversation);
  const field = useRef<HTMLTextAreaElement>(null);
  const [sends, setSends] = useState(0);
  const edits = useEdits(conversation, timeline);
  useEffect(() => {
    // On touch the keyboard would cover what one came to read.
    if (!matchMedia('(pointer: coarse)').matches) field.current?.focus();
  }, []);
  return (
    <>
      <Head {...props} title={title} />
      <TimelineView
        conversation={conversation}
        timeline={timeline}
        title={title}
        edit={edits.start}
        sends={sends}
        leave={() => field.current?.focus()}
      />
      <Composer
        conversation={conversation}
        title={title}
        field={field}
        sent={() => setSends((count) => count + 1)}
        editLast={edits.startLast}
        cancelEdit={edits.cancel}
        leave={props.leave}
      />
    </>
  );
}

function useTimeline(conversation: Conversation): Timeline {
  const timeline = useMemo(() => conversation.timeline('first-unread'), [conversation]);
  useEffect(() => () => timeline.close(), [timeline]);
  return timeline;
}

interface Edits {
  readonly start: (key: string) => void;
  readonly startLast: () => void;
  readonly cancel: () => void;
}

/**
 * An edit borrows the composer. What was being written stands in the draft meanwhile, so that it
 * comes back also after a reload or another conversation.
 */
function useEdits(conversation: Conversation, timeline: Timeline): Edits {
  const begin = useCallback(
    (row: MessageRow | undefined) => {
      if (row === undefined || !isEditable(row)) return;
      const draft = conversation.draft.get();
      const aside = draft.editOf === undefined ? draft.text : (draft.aside ?? '');
      conversation.draft.set({ text: textOf(row), editOf: row.key, aside });
    },
    [conversation],
  );
  const start = useCallback(
    (key: string) => begin(messages(timeline).find((row) => row.key === key)),
    [begin, timeline],
  );
  const startLast = useCallback(
    () => begin(messages(timeline).findLast((row) => isEditable(row))),
    [begin, timeline],
  );
  const cancel = useCallback(() => {
    conversation.draft.set({ text: conversation.draft.get().aside ?? '' });
  }, [conversation]);
  return { start, startLast, cancel };
}

function messages(timeline: Timeline): MessageRow[] {
  return timeline.get().rows.filter((row) => row.is === 'message');
}

function isEditable(row: MessageRow): boolean {
  return row.mine && !row.deleted && row.sequence !== undefined && row.content?.text !== undefined;
}

function Head(props: ConversationPaneProps & { readonly title: string }): ReactNode {
  const info = useStore(props.conversation.info);
  const isGroup = info.kind === 'group';
  return (
    <header className="head">
      <button
        type="button"
        className="icon-button only-phone"
        aria-label="Back to conversations"
        onClick={props.leave}
      >
        <Icon name="back" />
      </button>
      <div className="head-who">
        <FlagAvatar id={isGroup ? info.id : (info.peer ?? info.id)} group={isGroup} small />
        <div className="stack">
          <h1 className="name clip">
            <bdi>{props.title}</bdi>
          </h1>
          <Under conversation={props.conversation} />
        </div>
      </div>
      <button
        type="button"
        className="icon-button"
        aria-label={isGroup ? 'Members and details' : 'Details'}
        aria-expanded={props.isInfoOpen}
        onClick={props.toggleInfo}
      >
        <Icon name={isGroup ? 'people' : 'info'} />
      </button>
    </header>
  );
}

function Under({ conversation }: { conversation: Conversation }): ReactNode {
  const info = useStore(conversation.info);
  const typing = useStore(conversation.typing);
  const name = useName(typing[0]);
  if (typing.length > 1) return <p className="under clip">{typing.length} are typing…</p>;
  if (typing.length === 1) {
    return (
      <p className="under clip">
        {info.kind === 'group' && name !== '' ? <bdi>{name}</bdi> : null} typing…
      </p>
    );
  }
  if (info.kind === 'direct') return null;
  return (
    <p className="under clip">
      {info.memberCount} {info.memberCount === 1 ? 'member' : 'members'}
      {info.onServer ? '' : ' · not on the server yet'}
    </p>
  );
}
