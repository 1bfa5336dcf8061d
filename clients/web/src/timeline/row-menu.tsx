/** The menu of a row: a native popover, closed by Esc or a click elsewhere, focus returns to the row. */
import type { Conversation, MessageRow, Row } from '@parley/sdk';
import {
  type ReactNode,
  type Ref,
  type RefObject,
  useImperativeHandle,
  useRef,
  useState,
} from 'react';
import { flushSync } from 'react-dom';
import { Icon } from '../art/icons.tsx';
import { moveInMenu, openBeside } from '../chat/menu.ts';
import { useIsReadOnly } from '../chat/use-store.ts';
import { failureOf } from './failure.ts';
import { textOf } from './message-row.tsx';

export interface RowMenuHandle {
  readonly open: (key: string, near: HTMLElement) => void;
}

interface RowMenuProps {
  readonly ref: Ref<RowMenuHandle>;
  readonly conversation: Conversation;
  readonly rows: readonly Row[];
  readonly edit: (key: string) => void;
}

export function RowMenu(props: RowMenuProps): ReactNode {
  const popover = useRef<HTMLDivElement>(null);
  const confirm = useRef<HTMLDialogElement>(null);
  const origin = useRef<HTMLElement | null>(null);
  const [key, setKey] = useState<string | undefined>(undefined);
  const isReadOnly = useIsReadOnly();
  const row = props.rows.find(
    (candidate): candidate is MessageRow => candidate.is === 'message' && candidate.key === key,
  );
  useImperativeHandle(props.ref, () => ({
    open(next, near) {
      const menu = popover.current;
      if (menu === null) return;
      origin.current = near.closest<HTMLElement>('[data-key]');
      flushSync(() => setKey(next));
      if (menu.querySelector('button') === null) return;
      openBeside(menu, near);
    },
  }));
  const close = (): void => {
    popover.current?.hidePopover();
    origin.current?.focus({ preventScroll: true });
  };
  const askDelete = (): void => {
    confirm.current?.showModal();
    confirm.current?.querySelector<HTMLElement>('.danger')?.focus();
  };
  const actions = row === undefined ? [] : actionsOf(row, { ...props, isReadOnly, askDelete });
  return (
    <>
      <div
        className="menu"
        popover="auto"
        ref={popover}
        role="menu"
        aria-label="Message actions"
        onKeyDown={(e) => moveInMenu(e, close)}
      >
        {row !== undefined && <FailureNote row={row} />}
        {actions.map((action) => (
          <button
            type="button"
            role="menuitem"
            key={action.does}
            data-does={action.does}
            className={action.does === 'delete' ? 'danger' : undefined}
            onClick={() => {
              close();
              action.run();
            }}
          >
            <Icon name={action.icon} />
            {action.label}
            {action.keys !== undefined && <kbd aria-hidden="true">{action.keys}</kbd>}
          </button>
        ))}
      </div>
      <DeleteDialog
        dialog={confirm}
        remove={() => {
          if (row !== undefined && !isReadOnly) props.conversation.remove(row.key, 'all');
        }}
      />
    </>
  );
}

interface DeleteDialogProps {
  readonly dialog: RefObject<HTMLDialogElement | null>;
  readonly remove: () => void;
}

function DeleteDialog({ dialog, remove }: DeleteDialogProps): ReactNode {
  return (
    <dialog className="card" ref={dialog} aria-labelledby="delete-title">
      <div className="sheet-body">
        <h2 id="delete-title">Delete this message for everyone?</h2>
        <p className="muted">Its text is erased. That it was there stays visible.</p>
      </div>
      <form className="sheet-foot" method="dialog">
        <button className="button" type="submit">
          Keep
        </button>
        <button className="button danger" type="submit" onClick={remove}>
          Delete
        </button>
      </form>
    </dialog>
  );
}

interface Action {
  readonly does: 'edit' | 'copy' | 'delete' | 'retry' | 'cancel';
  readonly label: string;
  readonly icon: 'edit' | 'copy' | 'trash' | 'send' | 'close';
  readonly keys?: string;
  readonly run: () => void;
}

interface ActionContext {
  readonly conversation: Conversation;
  readonly edit: (key: string) => void;
  readonly isReadOnly: boolean;
  readonly askDelete: () => void;
}

function actionsOf(row: MessageRow, context: ActionContext): Action[] {
  const text = textOf(row);
  const copy: Action = {
    does: 'copy',
    label: 'Copy text',
    icon: 'copy',
    run: () => void navigator.clipboard?.writeText(text),
  };
  if (context.isReadOnly) return row.deleted ? [] : [copy];
  const actions = unsettledActions(row);
  if (row.deleted) return actions;
  const { key } = row;
  if (row.mine && row.pending === undefined) {
    actions.push({
      does: 'edit',
      label: 'Edit',
      icon: 'edit',
      keys: 'E',
      run: () => context.edit(key),
    });
  }
  actions.push(copy);
  if (canDelete(row, context.conversation)) {
    const run = context.askDelete;
    actions.push({ does: 'delete', label: 'Delete', icon: 'trash', keys: 'Del', run });
  }
  return actions;
}

/** Of a send on its way or failed, or of a change that failed: also of a deleted row. */
function unsettledActions(row: MessageRow): Action[] {
  const failure = failureOf(row);
  const ref = failure?.ref ?? row.pending;
  if (ref === undefined) return [];
  const isSend = ref === row.pending;
  const cancel: Action = {
    does: 'cancel',
    label: isSend ? 'Do not send' : 'Discard',
    icon: 'close',
    run: () => ref.cancel(),
  };
  if (failure?.retryable !== true) return [cancel];
  const label = isSend ? 'Send again' : 'Try again';
  return [{ does: 'retry', label, icon: 'send', run: () => ref.retry() }, cancel];
}

/** Own ones, or as owner or admin of a group (CONTRACT §5). */
function canDelete(row: MessageRow, conversation: Conversation): boolean {
  if (row.sequence === undefined) return false;
  const { kind, role } = conversation.info.get();
  return row.mine || (kind === 'group' && (role === 'owner' || role === 'admin'));
}

function FailureNote({ row }: { row: MessageRow }): ReactNode {
  const failure = failureOf(row);
  if (failure === undefined) return null;
  return <p className="error menu-note">{failure.text}</p>;
}
