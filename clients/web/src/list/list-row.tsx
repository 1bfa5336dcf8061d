/** One row of the conversation list: fixed height, whatever it says. */
import type { ConversationRow } from '@parley/sdk';
import { memo, type ReactNode } from 'react';
import { FlagAvatar } from '../art/flag.tsx';
import { Tick } from '../art/icons.tsx';
import { titleOf, useClient, useMaybe, useName } from '../chat/use-store.ts';
import { shortOf } from '../text/times.ts';

interface ListRowProps {
  readonly row: ConversationRow;
  readonly isSelected: boolean;
  readonly isActive: boolean;
  readonly open: (id: string) => void;
}

export const ListRow = memo(function ListRow(props: ListRowProps): ReactNode {
  const { row } = props;
  const me = useClient().me.get();
  const peer = useName(row.kind === 'direct' ? row.peer : undefined);
  const title = titleOf({ ...row, name: row.name || peer }, me.userId);
  const hasUnread = row.unread > 0 || row.markedUnread;
  return (
    <button
      type="button"
      className="list-row"
      data-conversation={row.id}
      data-unread={hasUnread}
      aria-current={props.isSelected ? 'true' : undefined}
      tabIndex={props.isActive ? 0 : -1}
      onClick={() => props.open(row.id)}
    >
      <FlagAvatar
        id={row.kind === 'group' ? row.id : (row.peer ?? row.id)}
        group={row.kind === 'group'}
      />
      <span className="stack">
        <span className="line">
          <span className="name clip" dir="auto">
            {title}
          </span>
          {row.last !== undefined && (
            <span className="when">{shortOf(row.timeMs, Date.now())}</span>
          )}
        </span>
        <span className="line">
          <Preview row={row} />
          {hasUnread && (
            <span className="badge">
              {row.unread > 999 ? '999+' : row.unread || ''}
              <span className="sr-only">{row.unread > 0 ? ' unread' : 'marked unread'}</span>
            </span>
          )}
        </span>
      </span>
    </button>
  );
});

function Preview({ row }: { row: ConversationRow }): ReactNode {
  const { last } = row;
  const state = useMaybe(last?.state);
  const sender = useName(row.kind === 'group' && last?.mine === false ? last.sender : undefined);
  const typist = useName(row.typing[0]);
  if (row.typing.length > 0) {
    return (
      <span className="preview clip" dir="auto">
        {row.kind === 'group' && typist !== '' ? <bdi>{typist} </bdi> : ''}typing…
      </span>
    );
  }
  if (row.draft !== undefined && row.draft !== '') {
    return (
      <span className="preview clip" dir="auto">
        <span className="draft">Draft: </span>
        {row.draft}
      </span>
    );
  }
  if (last === undefined)
    return (
      <span className="preview clip" dir="auto">
        No messages yet
      </span>
    );
  return (
    <>
      {state !== undefined && <Tick is={state.is} />}
      <span className="preview clip" dir="auto">
        {sender !== '' && <bdi>{sender}: </bdi>}
        {last.deleted ? 'Message deleted' : last.text}
      </span>
    </>
  );
}
