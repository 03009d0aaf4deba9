//! A tree as another one: without aliases, without a trace of how it was written, or as `load`'s.

use super::{Anchors, Form, MAX_DEPTH, Node, Props};
use crate::load::yaml;

impl Node {
    /// The same with every alias replaced by what it stands for, as far as `budget` nodes allow.
    pub fn expanded(&self, anchors: &Anchors, budget: &mut usize) -> Option<Node> {
        if !self.holds_alias() {
            return Some(self.clone());
        }
        self.expanded_at(anchors, budget, MAX_DEPTH)
    }

    fn expanded_at(&self, anchors: &Anchors, budget: &mut usize, depth: usize) -> Option<Node> {
        *budget = budget.checked_sub(1)?;
        let depth = depth.checked_sub(1)?;
        if let Form::Alias(_, id) = &self.form {
            let mut node = anchors.get(id)?.expanded_at(anchors, budget, depth)?;
            node.props = Props::default();
            node.changed = true;
            return Some(node);
        }
        let mut node = self.clone();
        for child in node.children_mut() {
            child.value = child.value.expanded_at(anchors, budget, depth)?;
        }
        Some(node)
    }

    /// Whether there is an alias in it.
    pub fn holds_alias(&self) -> bool {
        matches!(self.form, Form::Alias(..)) || self.children().iter().any(|child| child.value.holds_alias())
    }

    /// The same as a tree of `load`, for its questions. Aliases are null there: expand them before.
    pub fn to_load(&self) -> yaml::Node<'static> {
        let value = match &self.form {
            Form::Scalar(scalar) => {
                let style = if scalar.plain { yaml::Style::Plain } else { yaml::Style::Quoted };
                yaml::Value::Scalar(scalar.text.clone().into(), style)
            }
            Form::Alias(..) => yaml::Value::Scalar("~".into(), yaml::Style::Plain),
            Form::List(children) => {
                yaml::Value::Sequence(children.iter().map(|child| child.value.to_load()).collect())
            }
            Form::Map(children) => yaml::Value::Mapping(
                children
                    .iter()
                    .map(|child| yaml::Entry {
                        key: child.key.clone().into(),
                        key_span: Default::default(),
                        value: child.value.to_load(),
                    })
                    .collect(),
            ),
        };
        yaml::Node { value, span: Default::default(), tag: None }
    }

    /// The same without a trace of how it was written; for sources that are no YAML.
    pub fn rewritten(&self) -> Node {
        let mut node = match &self.form {
            Form::Scalar(scalar) if scalar.plain => Node::plain(&scalar.text),
            Form::Scalar(scalar) => Node::long_text(&scalar.text),
            Form::Alias(..) => self.clone(),
            Form::Map(children) => {
                Node::map(children.iter().map(|child| (&*child.key, child.value.rewritten())))
            }
            Form::List(children) => Node::list(children.iter().map(|child| child.value.rewritten())),
        };
        node.line = self.line;
        for (child, old) in node.children_mut().iter_mut().zip(self.children()) {
            child.line = old.line;
            child.before.clone_from(&old.before);
            child.comment.clone_from(&old.comment);
        }
        node
    }
}
