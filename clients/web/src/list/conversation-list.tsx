/**
 * The list: a window over all conversations with a fixed row height of 68 px, so the scroll bar is
 * arithmetic and no virtualiser is needed. One tab stop; arrows, Home and End move in it.
 */
import type { Client, Filter, ListWindow } from '@parley/sdk';
import {
  type KeyboardEvent,
  type ReactNode,
  type RefObject,
  useEffect,
  useLayoutEffect,
  useMemo,
  useRef,
  useState,
} from 'react';
import { useClient, useStore } from '../chat/use-store.ts';
import { nameOf } from '../keys/keys.ts';
import { ListRow } from './list-row.tsx';

export const ROW_PX = 68;
const OVERSCAN = 6;
const SCREEN_ROWS = 20;

interface ConversationListProps {
  readonly filter: Filter;
  readonly selected: string | undefined;
  readonly open: (id: string) => void;
  readonly start: () => void;
}

export function ConversationList(props: ConversationListProps): ReactNode {
  const list = useListWindow(useClient(), props.filter);
  const { total, start, rows, freshness } = useStore(list);
  const box = useRef<HTMLDivElement>(null);
  const showVisible = useVisibleRows(list, box);
  const selectedAt = rows.findIndex((row) => row.id === props.selected);
  const { active, onKeyDown, setActive } = useRoving(box, total, {
    first: selectedAt === -1 ? 0 : start + selectedAt,
    showVisible,
  });
  useFirstRowMark(rows.length > 0);

  if (total === 0) {
    return (
      <div className="list-box" ref={box}>
        {freshness === 'live' ? <Empty filter={props.filter} start={props.start} /> : <Skeleton />}
      </div>
    );
  }
  return (
    <div className="list-box" ref={box} onScroll={showVisible}>
      <ul
        className="list-rows"
        style={{ blockSize: total * ROW_PX }}
        aria-label="Conversations"
        onKeyDown={onKeyDown}
      >
        {rows.map((row, i) => (
          <li
            key={row.id}
            style={{ insetBlockStart: (start + i) * ROW_PX }}
            aria-posinset={start + i + 1}
            aria-setsize={total}
            data-index={start + i}
            onFocus={() => setActive(start + i)}
          >
            <ListRow
              row={row}
              isSelected={row.id === props.selected}
              isActive={start + i === active}
              open={props.open}
            />
          </li>
        ))}
      </ul>
    </div>
  );
}

function useListWindow(client: Client, filter: Filter): ListWindow {
  const list = useMemo(() => {
    const made = client.conversations({ filter });
    made.show(0, SCREEN_ROWS);
    return made;
  }, [client, filter]);
  useEffect(() => () => list.close(), [list]);
  return list;
}

function useVisibleRows(list: ListWindow, box: RefObject<HTMLElement | null>): () => void {
  const showVisible = useMemo(
    () => () => {
      if (box.current === null) return;
      const { scrollTop, clientHeight } = box.current;
      const from = Math.max(0, Math.floor(scrollTop / ROW_PX) - OVERSCAN);
      list.show(from, Math.ceil(clientHeight / ROW_PX) + 2 * OVERSCAN);
    },
    [list, box],
  );
  useLayoutEffect(() => {
    if (box.current === null) return;
    const observer = new ResizeObserver(showVisible);
    observer.observe(box.current);
    return () => observer.disconnect();
  }, [box, showVisible]);
  return showVisible;
}

interface Roving {
  readonly active: number;
  readonly setActive: (index: number) => void;
  readonly onKeyDown: (e: KeyboardEvent) => void;
}

function useRoving(
  box: RefObject<HTMLElement | null>,
  total: number,
  o: { first: number; showVisible: () => void },
): Roving {
  const [chosen, setActive] = useState<number | undefined>(undefined);
  const wanted = useRef<number | undefined>(undefined);
  const active = Math.min(chosen ?? o.first, Math.max(0, total - 1));
  useLayoutEffect(() => {
    if (wanted.current === undefined) return;
    const row = box.current?.querySelector<HTMLElement>(`[data-index="${wanted.current}"] button`);
    if (row === null || row === undefined) return;
    wanted.current = undefined;
    row.focus({ preventScroll: true });
  });
  const move = (index: number): void => {
    const next = Math.min(Math.max(0, index), total - 1);
    wanted.current = next;
    setActive(next);
    if (box.current !== null) scrollTo(box.current, next);
    o.showVisible();
  };
  const onKeyDown = (e: KeyboardEvent): void => {
    const page = Math.floor((box.current?.clientHeight ?? ROW_PX) / ROW_PX);
    const next = {
      ArrowDown: active + 1,
      ArrowUp: active - 1,
      Home: 0,
      End: total - 1,
      PageDown: active + page,
      PageUp: active - page,
    }[nameOf(e)];
    if (next === undefined) return;
    e.preventDefault();
    move(next);
  };
  return { active, setActive, onKeyDown };
}

function scrollTo(box: HTMLElement, index: number): void {
  const top = index * ROW_PX;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + ROW_PX > box.scrollTop + box.clientHeight)
    box.scrollTop = top + ROW_PX - box.clientHeight;
}

function useFirstRowMark(hasRows: boolean): void {
  useEffect(() => {
    if (hasRows) requestAnimationFrame(() => performance.mark('first-row'));
  }, [hasRows]);
}

function Empty({ filter, start }: { filter: Filter; start: () => void }): ReactNode {
  if (filter !== 'all') {
    return <p className="list-note">{filter === 'unread' ? 'All read.' : 'No groups yet.'}</p>;
  }
  return (
    <div className="quiet">
      <h2>Nobody here yet</h2>
      <p>Find someone by name, or make a group.</p>
      <button type="button" className="button primary" onClick={start}>
        New conversation
      </button>
    </div>
  );
}

const SKELETON_AFTER_MS = 200;

function Skeleton(): ReactNode {
  const [isLate, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => setLate(true), SKELETON_AFTER_MS);
    return () => clearTimeout(timer);
  }, []);
  if (!isLate) return null;
  return (
    <div role="status" aria-label="Loading conversations">
      {['a', 'b', 'c', 'd', 'e'].map((key) => (
        <div className="skeleton" key={key} aria-hidden="true">
          <i />
          <i />
        </div>
      ))}
    </div>
  );
}
