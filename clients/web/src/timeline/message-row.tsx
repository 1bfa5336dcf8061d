/**
 * A row of the timeline. One tab stop among all rows (roving); its margin holds time and state in
 * fixed boxes, so that no receipt, tick or edit mark changes its height (S3).
 */
import type { MessageRow, SendState, ServiceRow } from '@parley/sdk';
import { type CSSProperties, memo, type MouseEvent, type ReactNode } from 'react';
import { hueOf } from '../art/flag-pattern.ts';
import { Icon, Tick } from '../art/icons.tsx';
import { useClient, useIsReadOnly, useMaybe, useName } from '../chat/use-store.ts';
import { isOnlyEmoji } from '../text/emoji.ts';
import { splitLinks } from '../text/links.ts';
import { momentOf, timeOf } from '../text/times.ts';
import { type Failure, failureOf } from './failure.ts';
import type { Run } from './items.ts';
import { serviceText, usersOf } from './service-text.ts';

export interface PlaceInFeed {
  readonly isActive: boolean;
  readonly setSize: number;
}

interface MessageProps extends PlaceInFeed {
  readonly row: MessageRow;
  readonly run: Run;
  readonly isGroup: boolean;
  readonly openMenu: (key: string, near: HTMLElement) => void;
}

const STATE_WORDS: Readonly<Record<SendState['is'], string>> = {
  SENDING: 'sending',
  SENT: 'sent',
  STORED: 'stored, not yet delivered',
  DELIVERED: 'delivered',
  READ: 'read',
  FAILED: 'not sent',
};

export const MessageArticle = memo(function MessageArticle(props: MessageProps): ReactNode {
  const { row, run } = props;
  const state = useMaybe(row.state);
  // Looked at by failureOf.
  useMaybe(row.change?.state);
  const failure = failureOf(row);
  const name = useName(row.sender);
  const who = row.mine ? 'You' : name || 'Someone';
  const isCommitted = row.sequence !== undefined;
  const label = [
    who,
    textOf(row),
    row.edited ? 'edited' : '',
    isCommitted ? timeOf(row.timeMs) : '',
    state === undefined ? '' : STATE_WORDS[state.is],
    failure !== undefined && failure.ref === row.change ? failure.text : '',
  ].filter((part) => part !== '');
  const menu = (e: MouseEvent<HTMLElement>): void => {
    if (window.getSelection()?.isCollapsed === false) return;
    e.preventDefault();
    props.openMenu(row.key, e.currentTarget);
  };
  return (
    <article
      className={rowClass(row.mine, run)}
      style={{ '--hue': hueOf(row.sender) } as CSSProperties}
      data-key={row.key}
      data-sequence={row.sequence}
      data-state={state?.is}
      tabIndex={props.isActive ? 0 : -1}
      aria-label={label.join(', ')}
      aria-posinset={row.sequence ?? props.setSize}
      aria-setsize={props.setSize}
      onContextMenu={menu}
    >
      <div className="words">
        {run.first && !row.mine && (
          <div className={props.isGroup ? 'speaker' : 'sr-only'}>
            <bdi>{who}</bdi>
          </div>
        )}
        <Words row={row} isActive={props.isActive} />
      </div>
      <Margin row={row} state={state} failure={failure} openMenu={props.openMenu} />
    </article>
  );
});

function Words({ row, isActive }: { row: MessageRow; isActive: boolean }): ReactNode {
  if (row.deleted) return <p className="gone">Message deleted</p>;
  const text = textOf(row);
  if (isOnlyEmoji(text)) {
    return (
      <p className="text emoji" dir="auto">
        {text}
      </p>
    );
  }
  return (
    <p className="text" dir="auto">
      {splitLinks(text).map((piece, i) =>
        piece.href === undefined ? (
          piece.text
        ) : (
          <a
            // A text's pieces never move among themselves.
            key={`${i}-${piece.href}`}
            href={piece.href}
            target="_blank"
            rel="noopener noreferrer"
            tabIndex={isActive ? 0 : -1}
          >
            {piece.text}
          </a>
        ),
      )}
      {row.edited && <span className="edited">edited</span>}
    </p>
  );
}

interface MarginProps {
  readonly row: MessageRow;
  readonly state: SendState | undefined;
  readonly failure: Failure | undefined;
  readonly openMenu: (key: string, near: HTMLElement) => void;
}

function Margin({ row, state, failure, openMenu }: MarginProps): ReactNode {
  const isReadOnly = useIsReadOnly();
  if (failure?.retryable === true && !isReadOnly) {
    return (
      <button
        type="button"
        className="margin retry"
        tabIndex={-1}
        title={failure.text}
        onClick={() => failure.ref.retry()}
      >
        <Tick is="FAILED" />
        <span className="sr-only">{failure.text}</span>
        <span className="at">Retry</span>
      </button>
    );
  }
  const isCommitted = row.sequence !== undefined;
  const tick = failure === undefined ? state?.is : 'FAILED';
  return (
    <button
      type="button"
      className="margin"
      title={failure?.text}
      tabIndex={-1}
      aria-haspopup="menu"
      onClick={(e) => openMenu(row.key, e.currentTarget)}
    >
      {tick !== undefined && <Tick is={tick} />}
      <span className="at" title={isCommitted ? momentOf(row.timeMs) : undefined}>
        {isCommitted ? timeOf(row.timeMs) : ''}
      </span>
      <span className="sr-only">Message actions</span>
      <span className="handle">
        <Icon name="more" size={18} />
      </span>
    </button>
  );
}

interface ServiceProps extends PlaceInFeed {
  readonly row: ServiceRow;
}

export const ServiceArticle = memo(function ServiceArticle(props: ServiceProps): ReactNode {
  const { row } = props;
  const text = serviceText(row, useNames(usersOf(row)));
  return (
    <article
      className="service"
      data-key={row.key}
      data-sequence={row.sequence}
      tabIndex={props.isActive ? 0 : -1}
      aria-label={text}
      aria-posinset={row.sequence}
      aria-setsize={props.setSize}
    >
      <bdi>{text}</bdi>
    </article>
  );
});

/** Names of up to NAMES_MAX people; the list of hooks has a fixed length. */
const NAMES_MAX = 6;

function useNames(ids: readonly string[]): (id: string) => string {
  const me = useClient().me.get().userId;
  const distinct = [...new Set(ids)].slice(0, NAMES_MAX);
  const names = new Map<string, string>();
  for (let i = 0; i < NAMES_MAX; i++) {
    const id = distinct[i];
    // eslint-disable-next-line react-hooks/rules-of-hooks -- NAMES_MAX calls on every render
    const name = useName(id);
    if (id !== undefined) names.set(id, id === me ? 'you' : name);
  }
  return (id) => names.get(id) || 'someone';
}

export function textOf(row: MessageRow): string {
  if (row.deleted) return 'Message deleted';
  return row.content?.text?.body ?? row.content?.fallback ?? 'A message this version cannot show';
}

function rowClass(mine: boolean, run: Run): string {
  return ['row', mine ? 'mine' : 'theirs', run.first ? 'first' : '', run.last ? 'last' : '']
    .filter((name) => name !== '')
    .join(' ');
}
