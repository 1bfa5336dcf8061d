/**
 * The composer. The draft lives in the SDK's store, so it survives a reload, and sending clears it
 * in the transaction that fills the outbox (S4); this component keeps no text of its own.
 */
import type { Conversation, Info } from '@parley/sdk';
import {
  type KeyboardEvent,
  type ReactNode,
  type RefObject,
  useEffect,
  useLayoutEffect,
  useSyncExternalStore,
} from 'react';
import { Icon } from '../art/icons.tsx';
import { useClient, useStore } from '../chat/use-store.ts';
import { sentenceOf } from '../text/reason-text.ts';
import { isSendKey } from './enter-key.ts';

interface ComposerProps {
  readonly conversation: Conversation;
  readonly title: string;
  readonly field: RefObject<HTMLTextAreaElement | null>;
  sent(): void;
  editLast(): void;
  /** Gives the field back to what was being written before. */
  endEdit(): void;
  leave(): void;
}

/** CONTRACT §1: code points of a body. */
const BODY_MAX = 8_000;
const NEARLY_FULL = 7_500;

export function Composer(props: ComposerProps): ReactNode {
  const { conversation, field } = props;
  const info = useStore(conversation.info);
  const draft = useStore(conversation.draft);
  const { readOnly } = useStore(useClient().connection);
  const isTouch = useIsTouch();
  useGrow(field, draft.text);
  const isEditing = draft.editOf !== undefined;
  useEffect(() => {
    if (isEditing) field.current?.focus();
  }, [isEditing, field]);

  const count = draft.text.length > NEARLY_FULL ? [...draft.text].length : draft.text.length;
  const isSendable = draft.text.trim() !== '' && count <= BODY_MAX && !readOnly;
  const closed = closedText(info);
  if (closed !== undefined && draft.text === '') {
    return <div className="composer composer-inner composer-closed muted">{closed}</div>;
  }

  const submit = (): void => {
    if (!isSendable || closed !== undefined) return;
    const content = { text: { body: draft.text } };
    if (draft.editOf !== undefined) {
      conversation.edit(draft.editOf, content);
      props.endEdit();
    } else {
      conversation.send(content);
      props.sent();
    }
    field.current?.focus();
  };
  const onKeyDown = (e: KeyboardEvent<HTMLTextAreaElement>): void => {
    if (isSendKey(e.nativeEvent, isTouch)) {
      e.preventDefault();
      submit();
    } else if (e.key === 'ArrowUp' && draft.text === '') {
      e.preventDefault();
      props.editLast();
    } else if (e.key === 'Escape' && !e.nativeEvent.isComposing) {
      if (isEditing) props.endEdit();
      else props.leave();
    }
  };

  return (
    <div className="composer">
      <div className="composer-inner">
        {isEditing && (
          <div className="composer-note">
            <Icon name="edit" size={16} />
            <span className="grow">
              <strong>Editing</strong> your message
            </span>
            <button type="button" className="link-button" onClick={props.endEdit}>
              Cancel
            </button>
          </div>
        )}
        {closed !== undefined && (
          <div className="composer-note">
            <span className="grow">{closed} What you wrote is kept here to copy.</span>
          </div>
        )}
        <div className="composer-row">
          <textarea
            ref={field}
            rows={1}
            dir="auto"
            aria-label={`Message to ${props.title}`}
            placeholder="Message"
            value={draft.text}
            readOnly={closed !== undefined || readOnly}
            enterKeyHint={isTouch ? 'enter' : 'send'}
            onChange={(e) => {
              conversation.draft.set({ ...draft, text: e.target.value });
              if (e.target.value !== '' && !isEditing) conversation.setTyping();
            }}
            onKeyDown={onKeyDown}
          />
          {closed === undefined && (
            <button
              type="button"
              className="icon-button send"
              disabled={!isSendable}
              aria-label={isEditing ? 'Save' : 'Send'}
              // Keeps the keyboard of a phone open.
              onPointerDown={(e) => e.preventDefault()}
              onClick={submit}
            >
              <Icon name={isEditing ? 'check' : 'send'} />
            </button>
          )}
        </div>
        {count > NEARLY_FULL && (
          <p className={count > BODY_MAX ? 'error' : 'note'} role="status">
            {count} of {BODY_MAX} characters
          </p>
        )}
      </div>
    </div>
  );
}

function closedText(info: Info): string | undefined {
  if (info.failed !== undefined) return `This group could not be made. ${sentenceOf(info.failed)}`;
  if (info.canSend) return undefined;
  if (info.role === undefined) return 'You are no longer in this conversation.';
  if (info.closed) return 'This group is closed.';
  return 'Only admins write here.';
}

function subscribeTouch(fn: () => void): () => void {
  const query = matchMedia('(pointer: coarse)');
  query.addEventListener('change', fn);
  return () => query.removeEventListener('change', fn);
}

function useIsTouch(): boolean {
  return useSyncExternalStore(subscribeTouch, () => matchMedia('(pointer: coarse)').matches);
}

/** Where `field-sizing: content` is unknown the height follows by measuring. */
function useGrow(field: RefObject<HTMLTextAreaElement | null>, text: string): void {
  useLayoutEffect(() => {
    const area = field.current;
    if (area === null || CSS.supports('field-sizing', 'content')) return;
    area.style.height = 'auto';
    area.style.height = text === '' ? '' : `${area.scrollHeight + 2}px`;
  }, [field, text]);
}
