/**
 * The composer. The draft lives in the SDK's store, so it survives a reload, and sending clears it
 * in the transaction that fills the outbox (S4); this component keeps no text of its own.
 */
import type { Conversation, Draft, Info } from '@parley/sdk';
import {
  type KeyboardEvent,
  type ReactNode,
  type RefObject,
  useEffect,
  useLayoutEffect,
  useState,
  useSyncExternalStore,
} from 'react';
import { Icon } from '../art/icons.tsx';
import { useClient, useStore } from '../chat/use-store.ts';
import { codePoints } from '../text/form-text.ts';
import { reasonOf, sentenceOf } from '../text/reason-text.ts';
import { isSendKey } from './enter-key.ts';

interface ComposerProps {
  readonly conversation: Conversation;
  readonly title: string;
  readonly field: RefObject<HTMLTextAreaElement | null>;
  readonly sent: () => void;
  readonly editLast: () => void;
  /** Gives the field back to what was being written before the edit. */
  readonly cancelEdit: () => void;
  readonly leave: () => void;
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
  const [refusal, setRefusal] = useState<Refusal | undefined>(undefined);
  useGrow(field, draft.text);
  const isEditing = draft.editOf !== undefined;
  useEffect(() => {
    if (isEditing) field.current?.focus();
  }, [isEditing, field]);

  const closed = closedText(info);
  if (closed !== undefined && draft.text === '') {
    return (
      <div className="composer">
        <p className="composer-inner composer-closed muted">{closed}</p>
      </div>
    );
  }
  const isSendable = closed === undefined && !readOnly && isSendableText(draft.text);
  const submit = (): void => {
    if (!isSendable) return;
    setRefusal(submitDraft(props, draft));
    field.current?.focus();
  };
  return (
    <div className="composer">
      <div className="composer-inner">
        <Notes closed={closed} isEditing={isEditing} cancelEdit={props.cancelEdit} />
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
            onKeyDown={(e) => onKey(e, { ...props, isTouch, draft, submit })}
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
        {refusal?.draft === draft && (
          <p className="error" role="alert">
            {sentenceOf(refusal.reason)}
          </p>
        )}
        <Length text={draft.text} />
      </div>
    </div>
  );
}

/** Holds for the draft it was said of: the next key takes it away. */
interface Refusal {
  readonly draft: Draft;
  readonly reason: string | undefined;
}

/** Refused at once (an edit of a row that is not loaded): the text stays where it was written. */
function submitDraft(props: ComposerProps, draft: Draft): Refusal | undefined {
  const { conversation } = props;
  const content = { text: { body: draft.text } };
  try {
    if (draft.editOf === undefined) {
      conversation.send(content);
      props.sent();
    } else conversation.edit(draft.editOf, content);
    return undefined;
  } catch (error) {
    return { draft, reason: reasonOf(error) };
  }
}

interface KeyContext extends ComposerProps {
  readonly isTouch: boolean;
  readonly draft: Draft;
  readonly submit: () => void;
}

function onKey(e: KeyboardEvent<HTMLTextAreaElement>, context: KeyContext): void {
  const { draft } = context;
  if (isSendKey(e.nativeEvent, context.isTouch)) {
    e.preventDefault();
    context.submit();
  } else if (e.nativeEvent.isComposing) {
    return;
  } else if (e.key === 'ArrowUp' && draft.text === '' && !e.altKey) {
    // Nothing is edited where nothing can be written.
    if (e.currentTarget.readOnly) return;
    e.preventDefault();
    context.editLast();
  } else if (e.key === 'Escape') {
    if (draft.editOf === undefined) context.leave();
    else context.cancelEdit();
  }
}

interface NotesProps {
  readonly closed: string | undefined;
  readonly isEditing: boolean;
  readonly cancelEdit: () => void;
}

function Notes({ closed, isEditing, cancelEdit }: NotesProps): ReactNode {
  if (closed !== undefined) {
    return (
      <p className="composer-note" role="status">
        {closed} What you wrote is kept here to copy.
      </p>
    );
  }
  if (!isEditing) return null;
  return (
    <div className="composer-note">
      <Icon name="edit" size={16} />
      <span className="grow">Editing your message</span>
      <button type="button" className="link-button" onClick={cancelEdit}>
        Cancel
      </button>
    </div>
  );
}

function Length({ text }: { text: string }): ReactNode {
  // A text has at most as many code points as units.
  if (text.length <= NEARLY_FULL) return null;
  const count = codePoints(text);
  return (
    <p className={count > BODY_MAX ? 'error' : 'note'} role="status">
      {count} of {BODY_MAX} characters
    </p>
  );
}

function isSendableText(text: string): boolean {
  return text.trim() !== '' && (text.length <= BODY_MAX || codePoints(text) <= BODY_MAX);
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
