# The two modules fit together: the role may use exactly what the fleet made.

mock_provider "aws" {
  mock_data "aws_ami" {
    defaults = { id = "ami-0a1" }
  }
  mock_data "aws_vpc" {
    defaults = { cidr_block = "10.0.0.0/16" }
  }
  mock_data "aws_partition" {
    defaults = { partition = "aws" }
  }
  mock_data "aws_caller_identity" {
    defaults = { account_id = "123456789012" }
  }
  mock_data "aws_region" {
    defaults = { name = "eu-west-1" }
  }
  mock_resource "aws_security_group" {
    defaults = { id = "sg-0a1" }
  }
  mock_resource "aws_launch_template" {
    defaults = { id = "lt-0a1", latest_version = 7 }
  }
  mock_resource "aws_lb" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/0123456789abcdef" }
  }
  mock_resource "aws_lb_target_group" {
    defaults = { arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/fs-web/0123456789abcdef" }
  }
  mock_resource "aws_iam_policy" {
    defaults = { arn = "arn:aws:iam::123456789012:policy/fleet-scaler" }
  }
}

variables {
  vpc_id                   = "vpc-0a1"
  subnet_ids               = ["subnet-0a1", "subnet-0b2"]
  scaler_security_group_id = "sg-0b2"
}

run "role_fits_fleet" {
  command = apply

  assert {
    condition = one([
      for s in jsondecode(module.scaler.policy_json).Statement : s.Resource if s.Sid == "LaunchFromTheseTemplates"
    ]) == ["arn:aws:ec2:eu-west-1:123456789012:launch-template/${module.web.launch_template_id}"]
    error_message = "the role must launch from the fleet's template and no other"
  }

  assert {
    condition = tolist(one([
      for s in jsondecode(module.scaler.policy_json).Statement : s.Resource if s.Sid == "RegisterWithTheseTargetGroups"
    ])) == tolist(module.web.target_group_arns)
    error_message = "the role must register with the fleet's target group and no other"
  }

  assert {
    condition     = strcontains(output.fleet_toml, "launch_template_id = \"${module.web.launch_template_id}\"")
    error_message = "the fleet's file must name the fleet's template"
  }

  assert {
    condition     = aws_lb_listener.web.default_action[0].target_group_arn == module.web.target_group_arns[0]
    error_message = "a listener must use the fleet's target group, or every target is `unused` for ever"
  }
}

run "refuses_one_zone" {
  command = plan

  variables {
    subnet_ids = ["subnet-0a1"]
  }

  expect_failures = [var.subnet_ids]
}
