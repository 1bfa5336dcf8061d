/** The timeline: a feed of articles in a column-reverse box with one child (CLIENT §2). */
import type { Conversation, Info, Row, Timeline, TimelineState } from '@parley/sdk';
import {
  type KeyboardEvent,
  type ReactNode,
  useCallback,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { FlagAvatar } from '../art/flag.tsx';
import { Icon } from '../art/icons.tsx';
import { useClient, useIsReadOnly, useStore } from '../chat/use-store.ts';
import { nameOf } from '../keys/keys.ts';
import { sentenceOf } from '../text/reason-text.ts';
import { dayKeyOf } from '../text/times.ts';
import { type Item, itemsOf } from './items.ts';
import { DayMark, HoleMark, NewMark, TideMark } from './marks.tsx';
import { MessageArticle, ServiceArticle } from './message-row.tsx';
import { RowMenu, type RowMenuHandle } from './row-menu.tsx';
import { hasOlder, type Reading, useReading } from './use-reading.ts';
import { useReadMarks } from './use-read-marks.ts';
import { useTideMark } from './use-tide-mark.ts';

interface TimelineViewProps {
  readonly conversation: Conversation;
  readonly timeline: Timeline;
  readonly title: string;
  readonly edit: (key: string) => void;
  /** Counts own sends: each brings the reader to the end. */
  readonly sends: number;
  readonly leave: () => void;
}

export function TimelineView(props: TimelineViewProps): ReactNode {
  const { conversation, timeline } = props;
  const state = useStore(timeline);
  const info = useStore(conversation.info);
  const isLive = useStore(useClient().connection).phase === 'live';
  const isReadOnly = useIsReadOnly();
  const box = useRef<HTMLDivElement>(null);
  const menu = useRef<RowMenuHandle>(null);
  const reading = useReading(timeline, state, box);
  const shown = useMemo(
    () => state.rows.slice(reading.from, reading.to),
    [state.rows, reading.from, reading.to],
  );
  const items = useItems(shown, state, isLive);
  const [active, setActive] = useState<string | undefined>(undefined);
  const activeKey = shown.some((row) => row.key === active) ? active : shown.at(-1)?.key;
  useReadMarks(conversation, box, shown);
  useEchoMark(shown, props.sends);
  useEffect(() => {
    if (props.sends > 0) reading.toEnd();
  }, [props.sends, reading.toEnd]);

  const openMenu = useCallback((key: string, near: HTMLElement) => {
    setActive(key);
    menu.current?.open(key, near);
  }, []);
  const onKeyDown = (e: KeyboardEvent<HTMLDivElement>): void => {
    const row = (e.target as HTMLElement).closest<HTMLElement>('[data-key]');
    if (row === null || e.target !== row) return;
    if (onRowKey(nameOf(e), row, { ...props, openMenu, reading, isReadOnly })) e.preventDefault();
  };

  return (
    <div className="timeline">
      <div className="scroll" ref={box} tabIndex={-1}>
        <div
          className="column"
          role={shown.length > 0 ? 'feed' : undefined}
          aria-label={shown.length > 0 ? `Messages with ${props.title}` : undefined}
          aria-busy={shown.length > 0 ? state.loading !== undefined : undefined}
          onKeyDown={onKeyDown}
          onFocus={(e) => setActive(e.target.closest<HTMLElement>('[data-key]')?.dataset['key'])}
        >
          <OlderEdge
            state={state}
            timeline={timeline}
            isTop={reading.from === 0}
            info={info}
            title={props.title}
          />
          {items.map((item) => (
            <ItemView
              key={item.key}
              item={item}
              isActive={item.key === activeKey}
              isGroup={info.kind === 'group'}
              setSize={state.head}
              openMenu={openMenu}
              timeline={timeline}
            />
          ))}
        </div>
      </div>
      {!reading.isFollowing && shown.length > 0 && (
        <JumpButton reading={reading} unread={info.unread} />
      )}
      <RowMenu ref={menu} conversation={conversation} rows={shown} edit={props.edit} />
    </div>
  );
}

interface JumpProps {
  readonly reading: Reading;
  readonly unread: number;
}

/** Yellow says unread: what is below but was read is not counted. */
function JumpButton({ reading, unread }: JumpProps): ReactNode {
  const below = Math.min(reading.below, unread);
  return (
    <button type="button" className="jump" onClick={reading.toEnd}>
      <span className="sr-only">{below > 0 ? `${below} below. ` : ''}Go to the newest message</span>
      <Icon name="down" />
      {below > 0 && (
        <span className="badge" aria-hidden="true" data-below={below}>
          {below > 999 ? '999+' : below}
        </span>
      )}
    </button>
  );
}

function useItems(shown: readonly Row[], state: TimelineState, isLive: boolean): Item[] {
  const decided = useRef(new Map<string, { after: string; first: boolean }>());
  const tide = useTideMark(state.rows, isLive);
  return useMemo(
    () =>
      itemsOf(shown, {
        newFrom: state.newFrom,
        tide,
        dayKeyOf,
        decided: decided.current,
      }),
    [shown, state.newFrom, tide],
  );
}

/** The `echo` mark: an own row stands in the page. */
function useEchoMark(shown: readonly Row[], sends: number): void {
  const seen = useRef(sends);
  useLayoutEffect(() => {
    if (seen.current === sends) return;
    seen.current = sends;
    const last = shown.at(-1);
    if (last?.is === 'message' && last.mine) performance.mark('echo', { detail: last.key });
  }, [shown, sends]);
}

interface ItemProps {
  readonly item: Item;
  readonly isActive: boolean;
  readonly isGroup: boolean;
  readonly setSize: number;
  readonly openMenu: (key: string, near: HTMLElement) => void;
  readonly timeline: Timeline;
}

function ItemView(props: ItemProps): ReactNode {
  const { item } = props;
  switch (item.is) {
    case 'day':
      return <DayMark timeMs={item.timeMs} />;
    case 'new':
      return <NewMark />;
    case 'tide':
      return <TideMark count={item.count} />;
    case 'row':
      return <RowView {...props} item={item} />;
  }
}

function RowView(props: ItemProps & { item: Extract<Item, { is: 'row' }> }): ReactNode {
  const { row, run } = props.item;
  const place = { isActive: props.isActive, setSize: props.setSize };
  switch (row.is) {
    case 'message':
      return (
        <MessageArticle
          row={row}
          run={run}
          isGroup={props.isGroup}
          openMenu={props.openMenu}
          {...place}
        />
      );
    case 'service':
      return <ServiceArticle row={row} {...place} />;
    case 'hole':
      return <HoleMark row={row} timeline={props.timeline} {...place} />;
    case 'waiting':
      return (
        <article
          className="service"
          data-key={row.key}
          data-sequence={row.sequence}
          tabIndex={props.isActive ? 0 : -1}
        >
          Waiting for the key of this message
        </article>
      );
  }
}

interface EdgeProps {
  readonly state: TimelineState;
  readonly timeline: Timeline;
  readonly isTop: boolean;
  readonly info: Info;
  readonly title: string;
}

/** What stands above the oldest row: failure with Retry, loading, or the beginning. */
function OlderEdge(props: EdgeProps): ReactNode {
  const { state, timeline } = props;
  if (!props.isTop) return null;
  if (state.failed !== undefined) {
    return (
      <div className="edge">
        <span className="error" role="status">
          Older messages did not load. {sentenceOf(state.failed)}
        </span>
        <button type="button" className="link-button" onClick={() => void retry(state, timeline)}>
          Retry
        </button>
      </div>
    );
  }
  if (state.rows.length === 0) {
    const isLoading = state.loading !== undefined || hasOlder(state);
    return isLoading ? <Loading /> : <Beginning info={props.info} title={props.title} />;
  }
  if (hasOlder(state)) return <div className="edge" aria-hidden="true" />;
  return null;
}

const SKELETON_AFTER_MS = 200;

function Loading(): ReactNode {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), SKELETON_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  return <div className="edge">{isLate ? 'Loading messages…' : ''}</div>;
}

/** Nobody has said anything yet: who it is, and that the first word is one's own. */
function Beginning({ info, title }: Pick<EdgeProps, 'info' | 'title'>): ReactNode {
  const isGroup = info.kind === 'group';
  return (
    <div className="quiet beginning">
      <FlagAvatar id={isGroup ? info.id : (info.peer ?? info.id)} group={isGroup} />
      <h2>
        <bdi>{title}</bdi>
      </h2>
      <p>No messages yet. Write the first one.</p>
    </div>
  );
}

function retry(state: TimelineState, timeline: Timeline): Promise<void> {
  return state.rows.length === 0 ? timeline.moveTo('latest') : timeline.more('older');
}

interface RowKeyContext {
  readonly conversation: Conversation;
  readonly edit: (key: string) => void;
  readonly leave: () => void;
  readonly openMenu: (key: string, near: HTMLElement) => void;
  readonly reading: Reading;
  readonly isReadOnly: boolean;
}

/** Keys on a row; true when the key was one. */
function onRowKey(name: string, row: HTMLElement, context: RowKeyContext): boolean {
  const key = row.dataset['key'] ?? '';
  const rows = [...(row.parentElement?.querySelectorAll<HTMLElement>('[data-key]') ?? [])];
  const at = rows.indexOf(row);
  const go = (to: HTMLElement | undefined): boolean => {
    to?.focus({ preventScroll: true });
    if (to !== undefined) context.reading.toRow(to);
    return true;
  };
  switch (name) {
    case 'ArrowUp':
      if (at === 0) context.reading.grow('older');
      return go(rows[at - 1]);
    case 'ArrowDown':
      if (at === rows.length - 1) context.reading.grow('newer');
      return go(rows[at + 1]);
    case 'Home':
      return go(rows[0]);
    case 'End':
      context.reading.toEnd();
      return go(rows.at(-1));
    case 'Enter':
    case 'ContextMenu':
    case 'Shift+F10':
      if (row.classList.contains('row')) context.openMenu(key, row);
      else row.querySelector('button')?.click();
      return true;
    case 'E':
      if (!context.isReadOnly) context.edit(key);
      return true;
    case 'Delete':
      context.openMenu(key, row);
      row.ownerDocument.querySelector<HTMLElement>('.menu [data-does="delete"]')?.click();
      return true;
    case 'Escape':
      context.leave();
      return true;
    default:
      return false;
  }
}
